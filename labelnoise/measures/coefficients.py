"""The coefficients gamma and rho of the network of a run."""

from __future__ import annotations

import pytorch_lightning as pl
from torch.optim import SGD

from labelnoise.data.module import data_of
from labelnoise.data.signal_noise import SignalNoiseDataModule
from labelnoise.errors import InputError
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.models.two_layer_cnn import TwoLayerCNN
from labelnoise.processes.distributed import agreed
from labelnoise.theory import Coefficients, stage_one_length


def _data_and_model(
    trainer: pl.Trainer, module: pl.LightningModule
) -> tuple[SignalNoiseDataModule, TwoLayerCNN] | None:
    datamodule, model = data_of(trainer), getattr(module, "model", None)
    if isinstance(datamodule, SignalNoiseDataModule) and isinstance(model, TwoLayerCNN):
        return datamodule, model
    return None


def has_coefficients(trainer: pl.Trainer, module: pl.LightningModule) -> bool:
    """Whether gamma and rho are defined: signal-noise data and the two-layer CNN on patches."""
    return _data_and_model(trainer, module) is not None


def require_coefficients(trainer: pl.Trainer, module: pl.LightningModule, needed_by: str) -> None:
    """Fail before training if ``needed_by`` needs gamma and rho and they do not exist.

    Raises:
        InputError: other data or another model, or d < n + 1, so that they are not unique.
    """
    parts = _data_and_model(trainer, module)
    if parts is None:
        raise InputError(
            f"{needed_by} needs gamma and rho, which exist only for data=signal_noise with "
            f"model=two_layer_cnn, not for {type(data_of(trainer)).__name__} with "
            f"{type(getattr(module, 'model', module)).__name__}"
        )
    parts[0].setup()
    _ = parts[0].decomposition  # raises for d < n + 1


def read_coefficients(trainer: pl.Trainer, module: NoisyLabelClassifier) -> Coefficients:
    """gamma (K, m) and rho (K, m, n) at the current weights."""
    parts = _data_and_model(trainer, module)
    assert parts is not None, "require_coefficients() comes first"
    datamodule, model = parts
    return datamodule.decomposition.coefficients(model.weight.detach(), model.initial_weight)


def read_residual(
    trainer: pl.Trainer, module: NoisyLabelClassifier, coefficients: Coefficients
) -> float:
    """The share of the weight change that the coefficients do not explain, in [0, 1].

    For gradient descent, also with mini-batches and momentum, this is only rounding error. Adam and
    weight decay leave the span of signal and noise patches, so gamma and rho explain only a part.
    """
    parts = _data_and_model(trainer, module)
    assert parts is not None, "require_coefficients() comes first"
    datamodule, model = parts
    return datamodule.decomposition.residual(
        model.weight.detach(), model.initial_weight, coefficients
    )


def signal_and_noise(trainer: pl.Trainer, module: NoisyLabelClassifier) -> tuple[float, float]:
    """max gamma, and max rho over the samples in training; needs no true labels.

    The rho of the noisy samples are soon the largest, so this maximum overtakes gamma when the
    maximum over the noisy samples does. Samples of weight 0 do not count.
    """
    gamma, rho = read_coefficients(trainer, module)
    trained = module.sample_weight > 0
    gamma_max, rho_max = agreed(gamma.max().item(), rho[..., trained.to(rho.device)].max().item())
    return gamma_max, rho_max


def theory_t1(trainer: pl.Trainer) -> float | None:
    """T1 = n m / (eta sigma_xi^2 d), the order in steps of the end of Stage I without its constant.

    It is None for other data, other networks, and optimizers that are not plain gradient descent,
    as their learning rate is not the theory's eta.
    """
    parts, optimizer = _data_and_model(trainer, trainer.lightning_module), trainer.optimizers[0]
    if parts is None or not isinstance(optimizer, SGD) or optimizer.defaults["momentum"]:
        return None
    data, model = parts
    eta, m = float(optimizer.defaults["lr"]), model.weight.shape[1]
    return stage_one_length(n=data.n, m=m, eta=eta, xi_std=data.xi_std, d=data.d)

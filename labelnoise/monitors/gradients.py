"""How the gradients of clean and of noisy samples compare while the network trains."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from labelnoise.classifier import NoisyLabelClassifier, evaluating
from labelnoise.data.batch import Split
from labelnoise.data.module import data_of
from labelnoise.errors import InputError
from labelnoise.monitors.monitor import Monitor, probe_of
from labelnoise.run_directory import RunDirectory
from labelnoise.seeding import stream

log = logging.getLogger(__name__)

PER_SAMPLE = ("last", "all", "none")
MOST_PROBED = 1000
# Numbers in the matrix of per-sample gradients: 800 MB in single precision.
MOST_NUMBERS = 200_000_000
ANGLE_BINS = np.linspace(0, 180, 37)
SIDES = ("clean", "noisy")
PAIRS = ("clean_clean", "clean_noisy", "noisy_noisy")

Gradient = tuple[Tensor, ...]


def summed_gradient(model: nn.Module, split: Split, batch_size: int) -> Gradient:
    """sum_i of the gradient of -log softmax(f(x_i))[label_i], a tensor a parameter.

    Neither the parameters' ``.grad`` nor anything else of the network is touched.
    """
    parameters = trainable(model)
    device = next(iter(parameters.values())).device
    total = tuple(torch.zeros_like(p) for p in parameters.values())
    for batch in split.batches(batch_size):
        logits = model(_ready_for(model, batch.input))
        loss = F.cross_entropy(logits, batch.label.to(device), reduction="sum")
        with torch.no_grad():
            for sum_, part in zip(
                total, torch.autograd.grad(loss, list(parameters.values())), strict=True
            ):
                sum_ += part
    return total


def _ready_for(model: nn.Module, input: Tensor) -> Tensor:
    """The input on the network's device and in the precision of its weights."""
    weight = next(model.parameters())
    return input.to(weight.device, weight.dtype)


def trainable(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that training moves, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def per_sample_gradients(
    model: nn.Module, split: Split, names: list[str], batch_size: int = 16
) -> Float[Tensor, "s p"]:
    """The gradient of every sample's loss by the parameters ``names``, flattened, one a row."""
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    state = {name: value.detach() for name, value in state.items()}
    chosen = {name: state.pop(name) for name in names}
    device = next(iter(chosen.values())).device

    def loss(parameters: dict[str, Tensor], input: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(model, {**state, **parameters}, (input[None],))
        return F.cross_entropy(logits, label[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))
    rows = []
    for batch in split.batches(batch_size):
        found = gradients(chosen, _ready_for(model, batch.input), batch.label.to(device))
        rows.append(torch.cat([found[name].flatten(1) for name in names], dim=1))
    return torch.cat(rows)


def pair_angles(
    gradients: Float[Tensor, "s p"], clean_label: Int[Tensor, " s"], is_noisy: Bool[Tensor, " s"]
) -> dict[str, Float[Tensor, " pairs"]]:
    """Angles in degrees between the gradients of two samples of one true class, by kind of pair.

    ``clean_clean``, ``clean_noisy`` and ``noisy_noisy`` hold one angle for every pair of two
    different samples. At the start clean and noisy samples of a class pull in opposite directions
    (arXiv 2306.02533). Samples of gradient 0 have no direction and form no pair.

    Example:
        >>> gradients = torch.tensor([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0]])
        >>> label, noisy = torch.tensor([0, 0, 0]), torch.tensor([False, False, True])
        >>> {k: v.tolist() for k, v in pair_angles(gradients, label, noisy).items()}
        {'clean_clean': [0.0], 'clean_noisy': [180.0, 180.0], 'noisy_noisy': []}
    """
    norm = gradients.norm(dim=1)
    unit = gradients / norm.clamp_min(torch.finfo(norm.dtype).tiny)[:, None]
    angle = torch.rad2deg(torch.arccos((unit @ unit.T).clamp(-1, 1)))
    usable = (norm > 0)[:, None] & (norm > 0)[None]
    pair = (clean_label[:, None] == clean_label[None]).to(usable.device) & usable
    pair = pair.triu(1)
    wrong = is_noisy.to(pair.device).long()
    noisy_in_pair = wrong[:, None] + wrong[None]
    return {name: angle[pair & (noisy_in_pair == count)] for count, name in enumerate(PAIRS)}


class GradientMonitor(Monitor):
    """Logs ``gradients/*``: whether clean or noisy samples drive the training.

    With g_clean,k and g_noise,k the gradients of the loss summed over the clean and over the noisy
    samples of true class k, divided by the number of all samples (so that all of them add up to the
    gradient of the mean loss), it logs

    - ``dominance`` = sqrt(sum_k |g_clean,k|^2 / sum_k |g_noise,k|^2): clean-priority learning ends
      where it falls to 1, near the best moment to stop;
    - ``alpha`` = -sum_k <g_noise,k, g_clean,k> / sum_k |g_clean,k|^2, the part of the clean
      gradient that the noisy samples cancel (in the theory g_noise = -alpha g_clean, and alpha
      grows to 1);
    - ``cos_clean_noisy``, the cosine between the two, all classes' gradients put end to end;
    - of the sums over all classes, g_clean and g_noise: ``norm_clean``, ``norm_noisy``,
      ``norm_total``, ``cos_total_clean``, ``cos_total_noisy``, and ``dominance_summed``,
      ``alpha_summed``, ``cos_clean_noisy_summed``. Where the steps are large, all samples pull the
      network back from one class to the other together, and the last three swing with them;
    - ``angle_clean_clean``, ``angle_clean_noisy``, ``angle_noisy_noisy``: mean angles in degrees
      between the gradients of two samples of one true class.

    :meth:`save` writes gradients.npz: ``steps`` (T,), ``layers`` (L,) names, ``norm_clean``,
    ``norm_noisy`` and ``cos_clean_noisy`` by layer (T, L), ``class_norm_clean``,
    ``class_norm_noisy`` and ``class_cos_clean_noisy`` by true class (T, K), and
    ``angle_histogram`` (T, 3, bins), counts of clean-clean, clean-noisy and noisy-noisy pairs, with
    ``angle_edges``.

    The loss is the cross-entropy with the given labels, whatever loss a technique trains with.
    Gradients are taken in evaluation mode, without dropout and with batch norm's running
    statistics, over the probe's samples exactly; weights, buffers, gradients in use and random
    streams stay as they are, bit for bit. True labels are used: it only watches.
    Source: arXiv 2306.02533 (clean-priority learning).

    Args:
        every_n_steps: the interval; None is once an epoch.
        probe_size: how many training samples the sums run over, a seeded draw; None is all where
            there are up to 1,000, else 1,000. The number of all samples makes them exact.
        per_sample: parameters whose per-sample gradients are compared: "last" (those of the last
            layer), "all", or "none" to leave the angles out.
        per_sample_size: how many of the probe's samples are compared, half of them noisy where
            there are so many.
        batch_size: samples at a time.
        seed: of the draws.

    Raises:
        InputError: an unknown ``per_sample``, or a number out of range; when training starts, a
            probe larger than the training set, or too many numbers for ``per_sample=all``.
    """

    def __init__(
        self,
        every_n_steps: int | None = None,
        probe_size: int | None = None,
        per_sample: str = "last",
        per_sample_size: int = 64,
        batch_size: int = 250,
        seed: int = 0,
    ) -> None:
        super().__init__(every_n_steps)
        if per_sample not in PER_SAMPLE:
            raise InputError(
                f"monitor.gradients.per_sample must be one of {', '.join(PER_SAMPLE)}, got "
                f"{per_sample!r}"
            )
        for name, value, least in (
            ("probe_size", probe_size, 2),
            ("per_sample_size", per_sample_size, 2),
            ("batch_size", batch_size, 1),
        ):
            if value is not None and value < least:
                raise InputError(f"monitor.gradients.{name} must be at least {least}, got {value}")
        self.probe_size = probe_size
        self.per_sample = per_sample
        self.per_sample_size = per_sample_size
        self.batch_size = batch_size
        self.seed = seed
        self.steps: list[int] = []
        self.arrays: dict[str, list[Tensor]] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, NoisyLabelClassifier)
        train = data_of(trainer).train
        if self.probe_size is not None and self.probe_size > len(train):
            raise InputError(
                f"monitor.gradients.probe_size is {self.probe_size} and there are {len(train)} "
                f"training samples; write 2 to {len(train)}, or null"
            )
        self.num_classes = data_of(trainer).num_classes
        probe = probe_of(train, self.probe_size or MOST_PROBED, self.seed)
        if not probe.is_noisy.any():
            log.info("gradients: no label of the %d samples probed is wrong", len(probe))
        self.groups = dict(_groups(probe, self.num_classes))
        self.probed = len(probe)
        self.compared = probe.subset(self._compared(probe))
        self.layers = list(trainable(pl_module.model))
        numbers = sum(trainable(pl_module.model)[name].numel() for name in self._compared_layers())
        if numbers * len(self.compared) > MOST_NUMBERS:
            raise InputError(
                f"monitor.gradients.per_sample={self.per_sample} with {len(self.compared)} samples "
                f"is {numbers * len(self.compared):,} numbers, at most {MOST_NUMBERS:,}: write "
                "per_sample=last, or a smaller per_sample_size"
            )

    def _compared(self, probe: Split) -> Int[Tensor, " s"]:
        """Which of the probe's samples have their own gradients taken: half noisy if possible."""
        if self.per_sample == "none":
            return torch.arange(0)
        order = torch.randperm(len(probe), generator=stream(self.seed, "per_sample"))
        noisy = probe.is_noisy.cpu()[order]
        wrong = order[noisy][: self.per_sample_size // 2]
        return torch.cat([order[~noisy][: self.per_sample_size - len(wrong)], wrong])

    def _compared_layers(self) -> list[str]:
        if self.per_sample != "last":
            return self.layers
        last = self.layers[-1].rpartition(".")[0]
        return [name for name in self.layers if name.rpartition(".")[0] == last]

    def observe(self, trainer: pl.Trainer, module: NoisyLabelClassifier) -> dict[str, float]:
        with evaluating(module.model), torch.enable_grad():
            scalars, arrays = self._sums(module.model)
        if self.per_sample != "none":
            with evaluating(module.model):
                gradients = per_sample_gradients(
                    module.model, self.compared, self._compared_layers()
                )
            angles = pair_angles(gradients, self.compared.clean_label, self.compared.is_noisy)
            scalars |= {f"angle_{k}": v.mean().item() for k, v in angles.items()}
            arrays["angle_histogram"] = torch.stack([_histogram(angles[name]) for name in PAIRS])
        self.steps.append(trainer.global_step)
        for name, value in arrays.items():
            self.arrays.setdefault(name, []).append(value.cpu())
        return {f"gradients/{name}": value for name, value in scalars.items()}

    def _sums(self, model: nn.Module) -> tuple[dict[str, float], dict[str, Tensor]]:
        total = {name: _zeros(model) for name in SIDES}
        by_class = []
        for k in range(self.num_classes):
            part = {}
            for name in SIDES:
                group = self.groups.get((name, k))
                part[name] = (
                    summed_gradient(model, group, self.batch_size) if group else _zeros(model)
                )
                for sum_, addend in zip(total[name], part[name], strict=True):
                    sum_ += addend
            by_class.append(_products(part["clean"], part["noisy"], self.probed).sum(1))
        classes = torch.stack(by_class, dim=1)
        layers = _products(total["clean"], total["noisy"], self.probed)
        arrays = {
            "norm_clean": layers[0].sqrt(),
            "norm_noisy": layers[1].sqrt(),
            "cos_clean_noisy": layers[2] / (layers[0] * layers[1]).sqrt(),
            "class_norm_clean": classes[0].sqrt(),
            "class_norm_noisy": classes[1].sqrt(),
            "class_cos_clean_noisy": classes[2] / (classes[0] * classes[1]).sqrt(),
        }
        scalars = _scalars(classes.sum(1).tolist(), layers.sum(1).tolist())
        return scalars, {name: value.float() for name, value in arrays.items()}

    def save(self, run: RunDirectory) -> None:
        """Write everything observed to gradients.npz."""
        np.savez(
            run.gradients,
            allow_pickle=False,
            steps=np.array(self.steps, dtype=np.int64),
            layers=np.array(self.layers),
            angle_edges=ANGLE_BINS,
            **{name: torch.stack(values).numpy() for name, values in self.arrays.items()},
        )

    def state_dict(self) -> dict[str, Any]:
        stacked = {name: torch.stack(values) for name, values in self.arrays.items()}
        return {**super().state_dict(), "steps": list(self.steps), "arrays": stacked}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.steps = list(state_dict["steps"])
        self.arrays = {name: list(v.cpu()) for name, v in state_dict["arrays"].items()}


def _groups(probe: Split, num_classes: int) -> Iterator[tuple[tuple[str, int], Split]]:
    """The samples of each true class, clean and noisy apart."""
    for name, wanted in (("clean", ~probe.is_noisy), ("noisy", probe.is_noisy)):
        for k in range(num_classes):
            index = (wanted & (probe.clean_label == k)).nonzero().flatten()
            if len(index):
                yield (name, k), probe.subset(index)


def _zeros(model: nn.Module) -> Gradient:
    return tuple(torch.zeros_like(p) for p in trainable(model).values())


def _products(clean: Gradient, noisy: Gradient, n: int) -> Float[Tensor, "3 L"]:
    """<c, c>, <n, n> and <c, n> by layer, of the gradients divided by the number of samples."""
    rows = [
        torch.stack([torch.dot(u.flatten(), v.flatten()) for u, v in zip(x, y, strict=True)])
        for x, y in ((clean, clean), (noisy, noisy), (clean, noisy))
    ]
    return torch.stack(rows).double().cpu() / n**2


def _scalars(by_class: list[float], summed: list[float]) -> dict[str, float]:
    """All of a step from <c, c>, <n, n>, <c, n>, added up over classes and of the sums over them.

    NaN where a gradient is 0.
    """
    cc, nn_, cn = summed
    total = max(cc + nn_ + 2 * cn, 0.0)
    return {
        "norm_clean": math.sqrt(cc),
        "norm_noisy": math.sqrt(nn_),
        "norm_total": math.sqrt(total),
        **_compared(*by_class),
        **{f"{name}_summed": value for name, value in _compared(cc, nn_, cn).items()},
        "cos_total_clean": _divided(cc + cn, math.sqrt(total * cc)),
        "cos_total_noisy": _divided(nn_ + cn, math.sqrt(total * nn_)),
    }


def _compared(cc: float, nn_: float, cn: float) -> dict[str, float]:
    return {
        "dominance": _divided(math.sqrt(cc), math.sqrt(nn_)),
        "alpha": _divided(-cn, cc),
        "cos_clean_noisy": _divided(cn, math.sqrt(cc * nn_)),
    }


def _divided(a: float, b: float) -> float:
    return a / b if b > 0 else math.nan


def _histogram(angles: Float[Tensor, " pairs"]) -> Int[Tensor, " bins"]:
    return torch.from_numpy(np.histogram(angles.double().cpu().numpy(), ANGLE_BINS)[0])

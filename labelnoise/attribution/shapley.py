"""Shapley values: distribute the difference of a logit from its background over the input."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from labelnoise.checks import Range, check_word
from labelnoise.config.options import check_value
from labelnoise.errors import InputError
from labelnoise.training.isolation import isolated

# A larger error than this share of the logit differences means that the rules of DeepLIFT do not
# apply to the network; rounding errors are below 0.001.
MOST_INCOMPLETE = 0.02
DRAWS = Range(1, 10**5, whole=True)


def attribute(
    model: nn.Module,
    input: Float[Tensor, "n ..."],
    target: Int[Tensor, " n"],
    background: Float[Tensor, "b ..."],
    *,
    method: str = "gradient_shap",
    seeds: Sequence[int],
    draws: int = 200,
) -> Float[Tensor, "n ..."]:
    """Distribute f_k(x) - mean_b f_k(x_b) over the elements of the input; k is the target.

    ``gradient_shap`` (expected gradients): the mean of (x - x_b) * grad f_k(x_b + a (x - x_b)) over
    ``draws`` draws of x_b from the background and of a from [0, 1]. Its sum is the difference up to
    the error of the draws. ``deep_lift_shap``: the mean of the multipliers of DeepLIFT over all
    x_b. Its sum is exact and it has no draws, but every non-linear function of the network must be
    a module that is used once. Source: arXiv 1705.07874 (SHAP), computed by captum.

    Args:
        model: maps inputs to logits; it does not change.
        seeds: the seed of the draws for each image, so that a map does not depend on other images.

    Raises:
        InputError: captum is not installed, ``method`` does not exist, or the rules of DeepLIFT do
            not apply to the network.
    """
    check_method(method, draws)
    explain = METHODS[method](_frozen(model), background, draws)
    maps = []
    for sample, k, seed in zip(input, target.tolist(), seeds, strict=True):
        # captum draws from the global streams of numpy and torch.
        with isolated(seed):
            maps.append(explain(sample[None], k).detach())
    return torch.cat(maps) if maps else torch.zeros_like(input)


def logit_difference(
    model: nn.Module,
    input: Float[Tensor, "n ..."],
    target: Int[Tensor, " n"],
    background: Float[Tensor, "b ..."],
) -> Float[Tensor, " n"]:
    """f_k(x) - mean_b f_k(x_b); k is the target."""
    with torch.no_grad():
        model = _frozen(model)
        logits, mean = model(input), model(background).mean(0)
    return logits.gather(1, target[:, None]).squeeze(1) - mean[target]


def incompleteness(maps: Float[Tensor, "n ..."], difference: Float[Tensor, " n"]) -> float | None:
    """sqrt(sum_i (sum map_i - difference_i)^2 / sum_i difference_i^2); 0 if all maps are complete.

    None if all differences are 0.

    Example:
        >>> incompleteness(torch.tensor([[1.0, 2.0], [0.0, 3.0]]), torch.tensor([3.0, 4.0]))
        0.2
    """
    missing = (maps.flatten(1).sum(1) - difference).norm().item()
    whole = difference.norm().item()
    return round(missing / whole, 6) if whole else None


def check_method(method: str, draws: int = 1) -> None:
    """Check the method before the slow computation.

    Raises:
        InputError: captum is not installed, ``method`` does not exist, or ``draws`` is below 1.
    """
    check_word("method", method, METHODS)
    check_value("draws", draws, int, DRAWS)
    _captum()


def _captum() -> Any:
    try:
        import captum.attr
    except ImportError as error:
        raise InputError("attribution needs captum: pip install captum") from error
    return captum.attr


Explain = Callable[[Tensor, int], Tensor]


def _gradient_shap(model: nn.Module, background: Tensor, draws: int) -> Explain:
    shap = _captum().GradientShap(model)
    return lambda sample, k: shap.attribute(sample, background, n_samples=draws, target=k)


def _deep_lift_shap(model: nn.Module, background: Tensor, draws: int) -> Explain:
    apart = _apart(model)
    shap = _captum().DeepLiftShap(apart)
    with torch.no_grad():
        reference = model(background)

    def explain(sample: Tensor, k: int) -> Tensor:
        try:
            with warnings.catch_warnings():
                # A warning about hooks on the network; the network is a copy.
                warnings.filterwarnings(
                    "ignore", r"\s*Setting forward, backward hooks", UserWarning
                )
                maps: Tensor = shap.attribute(sample, background, target=k).detach()
        except (RuntimeError, AssertionError) as error:
            raise _unsuitable(" ".join(str(error).split()).split(". ")[0]) from error
        with torch.no_grad():
            difference = model(sample)[0, k] - reference[:, k]
        missing = (maps.sum() - difference.mean()).abs().item()
        size = difference.square().mean().sqrt().item()
        if missing > MOST_INCOMPLETE * size:
            raise _unsuitable(f"a map misses the logit difference by {missing / size:.0%}")
        return maps

    return explain


def _unsuitable(reason: str) -> InputError:
    return InputError(
        f"deep_lift_shap does not work for this network ({reason}): every non-linear function must "
        "be a module, such as nn.ReLU, that is used once; choose gradient_shap"
    )


def _frozen(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).eval().requires_grad_(False)


class _Copy(nn.Module):
    def forward(self, input: Tensor) -> Tensor:
        return input.clone()


def _apart(model: nn.Module) -> nn.Module:
    """The network with a copy of the tensor before every activation and every pooling.

    If a pooling follows a ReLU directly, captum 0.9 reads the gradient between them before it
    corrects it, and the maps are not complete. The copy also prevents in-place activations from
    changing tensors that captum stores.
    """
    model = copy.deepcopy(model)
    kinds = {"torch.nn.modules.activation", "torch.nn.modules.pooling"}
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__module__ in kinds and not list(child.parameters()):
                setattr(parent, name, nn.Sequential(_Copy(), child))
    return model


METHODS: dict[str, Callable[[nn.Module, Tensor, int], Explain]] = {
    "gradient_shap": _gradient_shap,
    "deep_lift_shap": _deep_lift_shap,
}

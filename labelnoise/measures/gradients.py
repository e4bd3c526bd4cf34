"""Gradients of clean and of noisy samples: compute, sum and compare them."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from labelnoise.data.batch import Split

PAIRS = ("clean_clean", "clean_noisy", "noisy_noisy")

Gradient = tuple[Tensor, ...]


def summed_gradient(model: nn.Module, split: Split, batch_size: int) -> Gradient:
    """sum_i of the gradient of -log softmax(f(x_i))[label_i], a tensor for each parameter.

    The sum over no samples is 0. The network and the ``.grad`` of its parameters do not change.
    """
    parameters, total = tuple(trainable(model).values()), zero_gradient(model)
    for batch in split.batches(batch_size):
        logits = model(ready_for(model, batch.input))
        loss = F.cross_entropy(logits, batch.label.to(logits.device), reduction="sum")
        add_to(total, torch.autograd.grad(loss, parameters))
    return total


def zero_gradient(model: nn.Module) -> Gradient:
    """A zero tensor in the shape of each trained parameter."""
    return tuple(torch.zeros_like(p) for p in trainable(model).values())


@torch.no_grad()
def add_to(total: Gradient, addend: Gradient) -> None:
    """Add a gradient to another in place."""
    for sum_, part in zip(total, addend, strict=True):
        sum_ += part


def ready_for(model: nn.Module, input: Tensor) -> Tensor:
    """The input on the device and in the precision of the weights of the network."""
    weight = next(model.parameters())
    return input.to(weight.device, weight.dtype)


def trainable(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that training changes, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def per_sample_gradients(
    model: nn.Module, split: Split, names: list[str], batch_size: int = 16
) -> Float[Tensor, "s p"]:
    """The gradient of each sample's loss by the parameters ``names``; a flattened row each."""
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
        found = gradients(chosen, ready_for(model, batch.input), batch.label.to(device))
        rows.append(torch.cat([found[name].flatten(1) for name in names], dim=1))
    return torch.cat(rows)


def pair_angles(
    gradients: Float[Tensor, "s p"], clean_label: Int[Tensor, " s"], is_noisy: Bool[Tensor, " s"]
) -> dict[str, Float[Tensor, " pairs"]]:
    """Angles in degrees between the gradients of two samples of one true class, by kind of pair.

    ``clean_clean``, ``clean_noisy`` and ``noisy_noisy`` have an angle for each pair of two
    different samples. At the start the gradients of clean and noisy samples of a class have
    opposite directions (arXiv 2306.02533). Samples of gradient 0 form no pair.

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


def inner_products(clean: Gradient, noisy: Gradient, n: int) -> Float[Tensor, "3 L"]:
    """<c, c>, <n, n> and <c, n> by layer; c and n are the gradients divided by ``n``."""
    rows = [
        torch.stack([torch.dot(u.flatten(), v.flatten()) for u, v in zip(x, y, strict=True)])
        for x, y in ((clean, clean), (noisy, noisy), (clean, noisy))
    ]
    return torch.stack(rows).double().cpu() / n**2


def compared_with_total(
    clean: Gradient, noisy: Gradient, n: int
) -> tuple[Float[Tensor, " L"], Float[Tensor, " L"], Float[Tensor, " L"]]:
    """|g|, cos(g, g_clean) and cos(g, g_noise) by layer, g = (g_clean + g_noise) / n.

    g is summed first: if the two parts nearly cancel, computing |g| from their inner products would
    lose all digits. A cosine with a gradient of 0 is NaN.

    Example:
        >>> clean, noisy = (torch.tensor([3.0, 0.0]),), (torch.tensor([0.0, 4.0]),)
        >>> [round(value.item(), 6) for value in compared_with_total(clean, noisy, n=10)]
        [0.5, 0.6, 0.8]
    """
    total = tuple(c + w for c, w in zip(clean, noisy, strict=True))
    (square, of_clean, with_clean), (_, of_noisy, with_noisy) = (
        inner_products(total, part, n) for part in (clean, noisy)
    )
    return (
        square.sqrt(),
        with_clean / (square * of_clean).sqrt(),
        with_noisy / (square * of_noisy).sqrt(),
    )


def gradient_scalars(by_class: list[float], summed: list[float]) -> dict[str, float]:
    """All scalars of a step; a ratio with a gradient of 0 is NaN.

    Args:
        by_class: <c, c>, <n, n> and <c, n> of each true class, summed over the classes.
        summed: the same inner products of the gradients summed over the classes.
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

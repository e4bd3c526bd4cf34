"""Losses corrected by a transition matrix, T[i, j] = P(noisy = j | clean = i)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from labelnoise.errors import InputError
from labelnoise.losses.soft_targets import soft_ce


def forward_correction(
    logits: Float[Tensor, "n K"], label: Int[Tensor, " n"], matrix: Float[Tensor, "K K"]
) -> Float[Tensor, " n"]:
    """-log (T^T p)_y: cross-entropy of the noisy label's probability (Patrini et al., CVPR 2017).

    p predicts the clean label; (T^T p)_y = sum_i T[i, y] p_i is then the probability of the given
    label. It is computed from log p and log T, so underflow of a probability does no harm.

    Args:
        matrix: T, checked by :func:`check_transition_matrix`; the identity gives cross-entropy.

    Example:
        >>> T = torch.tensor([[0.8, 0.2], [0.2, 0.8]])
        >>> forward_correction(torch.tensor([[20.0, -20.0]]), torch.tensor([1]), T).exp()
        tensor([5.])
    """
    log_column = matrix.to(logits).log().T[label]  # (n, K): log T[i, y] for the y of each sample
    return -torch.logsumexp(F.log_softmax(logits, 1) + log_column, 1)


def backward_correction(
    logits: Float[Tensor, "n K"], label: Int[Tensor, " n"], matrix: Float[Tensor, "K K"]
) -> Float[Tensor, " n"]:
    """sum_k (T^-1)[y, k] l(p, k); l is the cross-entropy (Patrini et al., CVPR 2017).

    Its mean over the noisy labels of clean class i is l(p, i), so its expected gradient on noisy
    labels is the gradient on clean labels. It can be negative and has no lower bound.

    Args:
        matrix: T, checked by :func:`check_transition_matrix` with ``invertible``; the identity
            gives cross-entropy.

    Example:
        >>> T = torch.tensor([[0.75, 0.25], [0.25, 0.75]])
        >>> logits = torch.tensor([[1.0, 0.0]])
        >>> losses = [backward_correction(logits, torch.tensor([y]), T) for y in (0, 1)]
        >>> T[0, 0] * losses[0] + T[0, 1] * losses[1], F.cross_entropy(logits, torch.tensor([0]))
        (tensor([0.3133]), tensor(0.3133))
    """
    # inv_ex, because inv synchronizes the GPU to check for success; the matrix was checked before.
    inverse = torch.linalg.inv_ex(matrix).inverse
    return soft_ce(logits, inverse.to(logits)[label])


def check_transition_matrix(
    matrix: Tensor, num_classes: int, name: str = "matrix", invertible: bool = False
) -> Float[Tensor, "K K"]:
    """Return ``matrix`` in float64 if it is a transition matrix between ``num_classes`` classes.

    Args:
        matrix: K x K, entries at least 0, every row sums to 1 within 1e-6.
        invertible: whether it must have an inverse, for the backward correction.

    Raises:
        InputError: names the violated condition and the row or column.

    Example:
        >>> check_transition_matrix(torch.tensor([[0.5, 0.6], [0.0, 1.0]]), 2)
        Traceback (most recent call last):
        labelnoise.errors.InputError: row 0 of matrix sums to 1.1; every row must sum to 1
    """
    if tuple(matrix.shape) != (num_classes, num_classes):
        raise InputError(
            f"{name} has shape {tuple(matrix.shape)}; "
            f"give {num_classes} rows of {num_classes} numbers, one row for each true class"
        )
    matrix = matrix.to("cpu", torch.float64)
    if not (matrix >= 0).all():
        i, j = (~(matrix >= 0)).nonzero()[0].tolist()
        raise InputError(
            f"{name}[{i}][{j}] is {matrix[i, j].item():g}; a probability must be at least 0"
        )
    for i, total in enumerate(matrix.sum(1).tolist()):
        if not abs(total - 1) <= 1e-6:
            raise InputError(f"row {i} of {name} sums to {total:.7g}; every row must sum to 1")
    for j, total in enumerate(matrix.sum(0).tolist()):
        if total == 0:
            raise InputError(
                f"column {j} of {name} is 0: the given label {j} would have probability 0 "
                "and infinite loss"
            )
    if invertible and int(torch.linalg.matrix_rank(matrix)) < num_classes:
        raise InputError(
            f"{name} is singular, but the backward correction needs its inverse: "
            "write technique=forward_correction, or another matrix"
        )
    return matrix

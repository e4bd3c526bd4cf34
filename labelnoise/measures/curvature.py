"""The curvature of the training loss: products with its Hessian, its top eigenvalue, its norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from labelnoise.data.batch import Split
from labelnoise.measures.gradients import ready_for, trainable

Product = Callable[[Tensor], Tensor]


def hessian_vector_product(
    model: nn.Module, split: Split, vector: Float[Tensor, " p"], batch_size: int
) -> Float[Tensor, " p"]:
    """H v, with H the Hessian of the mean cross-entropy with the given labels over ``split``.

        H v = sum_b d/dw <d L_b / dw, v>,   L_b = (1/n) sum_{i in b} -log softmax(f(x_i))[label_i]

    Each batch is differentiated twice, so that memory holds the graph of one batch, and batches are
    added up in double precision. ReLU networks are piecewise smooth: H is that of the piece at
    which the weights are. The parameters' ``.grad`` stays as it is.

    Args:
        model: in the mode in which it is to be differentiated.
        split: the n samples of the mean.
        vector: v, one number for each trained parameter, those of ``trainable(model)`` flattened
            and put end to end.
        batch_size: samples at a time.

    Returns:
        (p,) H v in double precision, on the vector's device.

    Source: B. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6 (1994).

    Example:
        >>> model = nn.Linear(1, 2, bias=False)  # logits w x: H = x^2 p (1 - p) [[1, -1], [-1, 1]]
        >>> _ = nn.init.zeros_(model.weight)
        >>> label = torch.zeros(1, dtype=torch.long)
        >>> one = Split(torch.ones(1, 1), label, label, label)
        >>> hessian_vector_product(model, one, torch.tensor([1.0, 0.0]), batch_size=1).tolist()
        [0.25, -0.25]
    """
    parameters = tuple(trainable(model).values())
    parts = vector.to(parameters[0].dtype).split([p.numel() for p in parameters])
    direction = [part.view_as(p) for part, p in zip(parts, parameters, strict=True)]
    total = torch.zeros_like(vector, dtype=torch.float64)
    with torch.enable_grad():
        for batch in split.batches(batch_size):
            # Not model(...): what torch.compile puts there cannot be differentiated twice.
            logits = model.forward(ready_for(model, batch.input))
            loss = F.cross_entropy(logits, batch.label.to(logits.device), reduction="sum")
            gradient = torch.autograd.grad(loss / len(split), parameters, create_graph=True)
            bent = [g for g in gradient if g.requires_grad]
            if not bent:  # a loss that is linear in the weights
                continue
            along = [d for d, g in zip(direction, gradient, strict=True) if g.requires_grad]
            products = torch.autograd.grad(
                bent, parameters, along, allow_unused=True, materialize_grads=True
            )
            total += torch.cat([part.flatten() for part in products])
    return total


class Krylov(NamedTuple):
    """What the Lanczos iteration found of a symmetric matrix H.

    Attributes:
        eigenvalue: the largest, not the largest in magnitude.
        residual: |H u - eigenvalue u| for its unit vector u; an eigenvalue of H is no further away.
        basis: (k, p) orthonormal vectors q_j that span v, H v, ..., H^(k-1) v.
        captured: sum_j |H q_j|^2, the part of |H|_F^2 that lies along the basis.
    """

    eigenvalue: float
    residual: float
    basis: Float[Tensor, "k p"]
    captured: float


def top_eigenvalue(
    product: Product, start: Float[Tensor, " p"], iterations: int, tolerance: float = 1e-2
) -> Krylov:
    """The largest eigenvalue of a symmetric matrix, by Lanczos with full reorthogonalisation.

    In the basis of the Krylov space of ``start``, H is a tridiagonal matrix T, whose largest
    eigenvalue grows towards that of H with every iteration. Lanczos is chosen over power iteration
    because it finds the largest eigenvalue also where a negative one is larger in magnitude (power
    iteration would find that one, which says nothing on the stability of gradient descent), and
    because it needs about the square root of power iteration's number of products. In finite
    precision the basis loses its orthogonality, and copies of found eigenvalues appear; taking
    every earlier vector out of a new one, twice, prevents it.

    Args:
        product: v -> H v.
        start: a vector with a part along the eigenvector, as a random one has.
        iterations: most products to take; k vectors of double precision are kept.
        tolerance: stop where the residual is below this share of the largest |eigenvalue| of T. The
            eigenvalue's own error is of the order of the square of that share.

    Returns:
        :class:`Krylov`; after as many iterations as there are dimensions, the exact value.

    Source: C. Lanczos (1950); B. Parlett, "The Symmetric Eigenvalue Problem", chapter 13.

    Example:
        >>> matrix = torch.diag(torch.tensor([1.0, 2.0, -5.0], dtype=torch.float64))
        >>> found = top_eigenvalue(lambda v: matrix @ v, torch.ones(3), iterations=3)
        >>> round(found.eigenvalue, 9), round(found.captured, 9)
        (2.0, 30.0)
    """
    basis = [start.double() / start.double().norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    captured = 0.0
    while True:
        image = product(basis[-1]).double()
        captured += float(image @ image)
        diagonal.append(float(image @ basis[-1]))
        for _ in range(2):
            for vector in basis:
                image = image - (vector @ image) * vector
        length = float(image.norm())
        if not math.isfinite(captured):  # of a network that diverged
            return Krylov(math.nan, math.nan, torch.stack(basis), math.nan)
        values, vectors = torch.linalg.eigh(_tridiagonal(diagonal, beside))
        residual = length * abs(float(vectors[-1, -1]))
        scale = float(values.abs().max())
        done = len(basis) >= min(iterations, len(start)) or residual <= tolerance * scale
        # The other end: a space that H maps to itself.
        if done or not length > 1e-12 * math.sqrt(captured):
            return Krylov(float(values[-1]), residual, torch.stack(basis), captured)
        beside.append(length)
        basis.append(image / length)


def _tridiagonal(diagonal: list[float], beside: list[float]) -> Float[Tensor, "k k"]:
    matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    if not beside:
        return matrix
    off = torch.diag(torch.tensor(beside, dtype=torch.float64), 1)
    return matrix + off + off.T


class NormEstimate(NamedTuple):
    """An estimate and its standard error."""

    value: float
    standard_error: float


def frobenius_norm(
    product: Product, vectors: Iterable[Float[Tensor, " p"]], known: Krylov | None = None
) -> NormEstimate:
    """|H|_F of a symmetric matrix from its products with random vectors, by Hutchinson's method.

        |H|_F^2 = E |H v|^2                                    for E v v^T = I
        |H|_F^2 = |H Q|_F^2 + E |H (I - Q Q^T) v|^2            for any orthonormal basis Q

    The second line is used where ``known`` has a basis: what lies along it is counted exactly, and
    chance has only the rest to estimate. A Hessian has few large eigenvalues, with which |H v|^2
    alone would swing by its own size. The estimate of |H|_F^2 has no bias; its root has a small
    one downwards.

    Args:
        product: v -> H v.
        vectors: v, two at least, with independent entries of mean 0 and variance 1; entries -1 and
            1 (Rademacher's) give the smallest variance.
        known: what :func:`top_eigenvalue` found of the same matrix.

    Returns:
        The norm, and the standard error that the spread of |H v|^2 gives it.

    Source: M. Hutchinson (1989); the deflation is that of Hutch++ (arXiv 2010.09649).

    Example:
        >>> matrix = torch.diag(torch.tensor([3.0, -4.0], dtype=torch.float64))
        >>> frobenius_norm(lambda v: matrix @ v, [torch.tensor([1.0, -1.0]), torch.ones(2)])
        NormEstimate(value=5.0, standard_error=0.0)
    """
    squares = []
    for vector in vectors:
        rest = vector.double()
        if known is not None:
            rest = rest - known.basis.T @ (known.basis @ rest)
        image = product(rest).double()
        squares.append(float(image @ image))
    assert len(squares) > 1, "a standard error needs two vectors"
    n, mean = len(squares), sum(squares) / len(squares)
    value = math.sqrt((known.captured if known is not None else 0.0) + mean)
    error = math.sqrt(sum((square - mean) ** 2 for square in squares) / (n - 1) / n)
    return NormEstimate(value, 0.0 if value == 0 else error / (2 * value))

"""Curvature of the training loss: Hessian-vector products, largest eigenvalue, Frobenius norm."""

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
    """H v; H is the Hessian of the mean cross-entropy with the given labels over ``split``.

        H v = sum_b d/dw <d L_b / dw, v>,   L_b = (1/n) sum_{i in b} -log softmax(f(x_i))[label_i]

    Each batch is differentiated twice separately, so memory holds the graph of one batch. The
    batches are summed in double precision. A ReLU network is piecewise smooth: H is the Hessian of
    the smooth piece at the current weights. The ``.grad`` of the parameters does not change.

    Args:
        model: the network, already in evaluation or training mode.
        split: the n samples of the mean.
        vector: v, a number for each trained parameter (``trainable(model)``, flattened and
            concatenated).
        batch_size: number of samples in a batch.

    Returns:
        (p,) H v in double precision, on the device of the vector.

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
            # Not model(...), because a compiled network cannot be differentiated twice.
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
    """The result of the Lanczos iteration for a symmetric matrix H.

    Attributes:
        eigenvalue: the largest eigenvalue, not the largest in magnitude.
        residual: |H u - eigenvalue u| for its unit eigenvector u; a bound on the distance to an
            eigenvalue of H.
        basis: (k, p) orthonormal vectors q_j that span v, H v, ..., H^(k-1) v.
        captured: sum_j |H q_j|^2, the part of |H|_F^2 along the basis.
    """

    eigenvalue: float
    residual: float
    basis: Float[Tensor, "k p"]
    captured: float


def top_eigenvalue(
    product: Product, start: Float[Tensor, " p"], iterations: int, tolerance: float = 1e-2
) -> Krylov:
    """The largest eigenvalue of a symmetric matrix, by Lanczos with full reorthogonalisation.

    In the basis of the Krylov space of ``start``, H is a tridiagonal matrix T. The largest
    eigenvalue of T grows with every iteration towards the largest eigenvalue of H. Power iteration
    would find the eigenvalue of largest magnitude, which can be negative, and needs about the
    square of the number of products. In finite precision the basis loses orthogonality, and copies
    of eigenvalues appear. Subtracting all earlier vectors twice from a new vector prevents this.

    Args:
        product: v -> H v.
        start: a vector that is not orthogonal to the eigenvector, for example a random one.
        iterations: largest number of products; k vectors in double precision are kept.
        tolerance: stop if the residual is below this share of the largest |eigenvalue| of T. The
            relative error of the eigenvalue is of the order of the square of the tolerance.

    Returns:
        :class:`Krylov`; the value is exact after p iterations.

    Source: C. Lanczos (1950); B. Parlett, "The Symmetric Eigenvalue Problem", chapter 13.

    Example:
        >>> matrix = torch.diag(torch.tensor([1.0, 2.0, -5.0], dtype=torch.float64))
        >>> found = top_eigenvalue(lambda v: matrix @ v, torch.ones(3), iterations=3)
        >>> round(found.eigenvalue, 9), round(found.captured, 9)
        (2.0, 30.0)
    """
    basis = [start.double() / start.double().norm()]
    diagonal: list[float] = []
    off_diagonal: list[float] = []
    captured = 0.0
    while True:
        image = product(basis[-1]).double()
        captured += float(image @ image)
        diagonal.append(float(image @ basis[-1]))
        for _ in range(2):
            for vector in basis:
                image = image - (vector @ image) * vector
        length = float(image.norm())
        if not math.isfinite(captured):  # the network has diverged
            return Krylov(math.nan, math.nan, torch.stack(basis), math.nan)
        values, vectors = torch.linalg.eigh(_tridiagonal(diagonal, off_diagonal))
        residual = length * abs(float(vectors[-1, -1]))
        scale = float(values.abs().max())
        done = len(basis) >= min(iterations, len(start)) or residual <= tolerance * scale
        # The second condition: H maps the Krylov space to itself.
        if done or not length > 1e-12 * math.sqrt(captured):
            return Krylov(float(values[-1]), residual, torch.stack(basis), captured)
        off_diagonal.append(length)
        basis.append(image / length)


def _tridiagonal(diagonal: list[float], off_diagonal: list[float]) -> Float[Tensor, "k k"]:
    matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    if not off_diagonal:
        return matrix
    off = torch.diag(torch.tensor(off_diagonal, dtype=torch.float64), 1)
    return matrix + off + off.T


class NormEstimate(NamedTuple):
    """An estimate and its standard error."""

    value: float
    standard_error: float


def frobenius_norm(
    product: Product, vectors: Iterable[Float[Tensor, " p"]], known: Krylov | None = None
) -> NormEstimate:
    """|H|_F of a symmetric matrix from products with random vectors, by Hutchinson's method.

        |H|_F^2 = E |H v|^2                                    for E v v^T = I
        |H|_F^2 = |H Q|_F^2 + E |H (I - Q Q^T) v|^2            for any orthonormal basis Q

    With ``known`` the second line is used: the part along the basis is exact, and only the rest is
    estimated. A Hessian has few large eigenvalues, so the standard deviation of |H v|^2 alone is as
    large as its mean. The estimate of |H|_F^2 is unbiased; its square root is biased slightly
    downwards.

    Args:
        product: v -> H v.
        vectors: v, at least two, with independent entries of mean 0 and variance 1; entries -1 and
            1 (Rademacher) give the smallest variance.
        known: the result of :func:`top_eigenvalue` for the same matrix.

    Returns:
        The norm, and its standard error from the spread of |H v|^2.

    Source: M. Hutchinson (1989); the deflation is from Hutch++ (arXiv 2010.09649).

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

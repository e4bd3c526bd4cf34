"""Gradient descent of many two-layer CNNs at once, on inner products and coefficients alone."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labelnoise.theory.simulation.products import Products


class BatchedDescent:
    r"""Full-batch gradient descent of b runs, whose weights are never formed.

    Every filter is w(0) + sum_i c_i xi_i + a mu. With :math:`l'_i = -1/(1 + \exp(\tilde y_i f_i))`
    and the sign j of the filter's class, one step adds

    .. math::
        -\tfrac{\eta}{nm}\, j\, \tilde y_i l'_i\, 1[\langle w, \xi_i\rangle > 0]
        \quad\text{to } c_i, \qquad
        -\tfrac{\eta}{nm}\, j \sum_i \tilde y_i y_i l'_i\, 1[y_i\langle w, \mu\rangle > 0]
        \quad\text{to } a,

    and the products with all features follow from those of w(0) and the features' Gram matrix: m
    n^2 multiplications a step and class, whatever d is. In the paper's normalisation gamma = j a
    |mu|^2 and rho_i = c_i |xi_i|^2. Source: arXiv 2505.18909, the coefficients' update equations.

    Args:
        products: of the runs.
        m: (b,) filters a class of each run, at most half the rows of ``products.start``.
        eta: (b,) learning rates.
        dtype: of the arithmetic.
    """

    def __init__(
        self,
        products: Products,
        m: Float[Tensor, " b"],
        eta: Float[Tensor, " b"],
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.features, self.start, self.filters, self.sign, self.given_sign = (
            part.to(dtype) for part in products
        )
        b, rows, width = self.start.shape
        self.n = width - 1
        self.m = m.to(self.start)
        self._rate = (eta.to(self.start) / (self.n * self.m))[:, None]
        half = torch.ones(rows // 2).to(self.start)
        self.class_sign = torch.cat([-half, half])  # j of every row, (2m,)
        self.filled = torch.arange(rows // 2).repeat(2).to(self.m) < self.m[:, None]  # (b, 2m)
        self._vote = (self.class_sign / self.m[:, None])[:, None]  # (b, 1, 2m)
        self._positive = (self.sign > 0).to(self.start)
        self.coefficients = torch.zeros_like(self.start)
        self.product = self.start.clone()

    def step(self, times: int = 1) -> None:
        """Take steps of gradient descent."""
        n = self.n
        for _ in range(times):
            pull = self._rate * torch.sigmoid(-self.given_sign * self.margin())
            pull *= self.given_sign
            signed = pull[:, None] * self.class_sign[:, None]
            active = self.product[..., :n] > 0
            self.coefficients[..., :n].addcmul_(active, signed)
            ahead = (pull * self._positive).sum(1, keepdim=True)
            behind = ahead - pull.sum(1, keepdim=True)
            along = self.product[..., n]
            moved = (along > 0) * ahead + (along < 0) * behind
            self.coefficients[..., n] += self.class_sign * moved
            # From the start each time: rounding does not add up over steps.
            torch.baddbmm(self.start, self.coefficients, self.features, out=self.product)

    def margin(self) -> Float[Tensor, "b n"]:
        """f = F_{+1} - F_{-1} of every training sample."""
        behind, ahead = self.signal_margins()
        signal = torch.where(self.sign > 0, ahead[:, None], behind[:, None])
        return self.responses(self.product[..., : self.n]) + signal

    def responses(self, product: Float[Tensor, "b rows s"]) -> Float[Tensor, "b s"]:
        """What s patches add to f, from their products with all filters."""
        return (self._vote @ product.relu())[:, 0]

    def signal_margins(self) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """What the signal patch adds to f where y = -1, and where y = +1."""
        along = self.product[..., self.n]
        behind, ahead = self.responses(torch.stack([-along, along], dim=2)).unbind(1)
        return behind, ahead

    @property
    def gamma(self) -> Float[Tensor, "b rows"]:
        """Signal learning of every filter."""
        return self.class_sign * self.coefficients[..., -1] * self.features[:, -1:, -1]

    @property
    def rho(self) -> Float[Tensor, "b rows n"]:
        """Noise memorization: rho_bar where it is above 0, rho_underbar where it is below."""
        squared = self.features.diagonal(dim1=1, dim2=2)[:, None, : self.n]
        return self.coefficients[..., : self.n] * squared

    @property
    def is_noisy(self) -> Bool[Tensor, "b n"]:
        """The given label is not the true one."""
        return self.sign != self.given_sign

    def weight_products(self) -> Float[Tensor, "b rows rows"]:
        """<w, w> of all filters as they are now."""
        crossed = self.start @ self.coefficients.mT
        moved = self.coefficients @ self.features @ self.coefficients.mT
        return self.filters + crossed + crossed.mT + moved

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

    A step that changes no bit of any run's coefficients ends a chunk in `simulate`. That is rare: a
    step t changes them by about 1 / (t log t) of their size, which float32 resolves for
    some 10^6 steps. At n = 20, m = 10 and eta = 0.1 no run came to rest within 40,000 steps up to
    d = 6,000, and only where T1 is far below one step many do (25 to 83 % at d = 6 * 10^5, 91 to
    98 % at 10^7). Single runs are not taken out, which would change the others' rounding.

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
        self.features, start, self.filters, self.sign, self.given_sign = (
            part.to(dtype) for part in products
        )
        # Filters last: all of them are in one stretch of memory for each feature.
        self.start = start.mT.contiguous()
        b, width, rows = self.start.shape
        self.n = width - 1
        self.m = m.to(self.start)
        half = torch.ones(rows // 2).to(self.start)
        self.class_sign = torch.cat([-half, half])  # j of every filter, (2m,)
        self.filled = torch.arange(rows // 2).repeat(2).to(self.m) < self.m[:, None]  # (b, 2m)
        self._pull = self.given_sign * (eta.to(self.start) / (self.n * self.m))[:, None]
        self._positive = (self.sign > 0).to(self.start)
        self._signed = self.start.new_empty(b, self.n, rows)
        self.coefficients = torch.zeros_like(self.start)
        self.product = self.start.clone()

    def step(self, times: int = 1) -> None:
        """Take steps of gradient descent."""
        n = self.n
        for _ in range(times):
            activation = self.product.relu()
            pull = self._pull * torch.sigmoid(-self.given_sign * self._margin(activation))
            active = activation.sign_()
            torch.mul(pull[..., None], self.class_sign, out=self._signed)
            self.coefficients[:, :n].addcmul_(active[:, :n], self._signed)
            ahead = (pull * self._positive).sum(1, keepdim=True)
            behind = ahead - pull.sum(1, keepdim=True)
            moved = active[:, n] * ahead + (self.product[:, n] < 0) * behind
            self.coefficients[:, n].addcmul_(moved, self.class_sign)
            # From the start each time: rounding does not add up over steps.
            torch.baddbmm(self.start, self.features, self.coefficients, out=self.product)

    def margin(self) -> Float[Tensor, "b n"]:
        """f = F_{+1} - F_{-1} of every training sample."""
        return self._margin(self.product.relu())

    def _margin(self, activation: Float[Tensor, "b width rows"]) -> Float[Tensor, "b n"]:
        response = self._vote(activation)
        ahead, behind = response[:, self.n :], self._vote((-self.product[:, self.n :]).relu())
        return response[:, : self.n] + torch.where(self.sign > 0, ahead, behind)

    def _vote(self, activation: Float[Tensor, "b s rows"]) -> Float[Tensor, "b s"]:
        """What s patches add to f, from their activation of all filters."""
        return activation @ self.class_sign / self.m[:, None]

    def signal_margins(self) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """What the signal patch adds to f where y = -1, and where y = +1."""
        along = self.product[:, self.n]
        behind, ahead = self._vote(torch.stack([-along, along], dim=1).relu()).unbind(1)
        return behind, ahead

    @property
    def gamma(self) -> Float[Tensor, "b rows"]:
        """Signal learning of every filter."""
        return self.class_sign * self.coefficients[:, -1] * self.features[:, -1:, -1]

    @property
    def patch_squared(self) -> Float[Tensor, "b n"]:
        """|xi_i|^2."""
        return self.features.diagonal(dim1=1, dim2=2)[:, : self.n]

    @property
    def rho(self) -> Float[Tensor, "b rows n"]:
        """Noise memorization: rho_bar where it is above 0, rho_underbar where it is below."""
        return (self.coefficients[:, : self.n] * self.patch_squared[..., None]).mT

    @property
    def is_noisy(self) -> Bool[Tensor, "b n"]:
        """The given label is not the true one."""
        return self.sign != self.given_sign

    def weight_products(self) -> Float[Tensor, "b rows rows"]:
        """<w, w> of all filters as they are now."""
        crossed = self.start.mT @ self.coefficients
        moved = self.coefficients.mT @ self.features @ self.coefficients
        return self.filters + crossed + crossed.mT + moved

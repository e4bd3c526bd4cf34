"""Gradient descent of many two-layer CNNs at once, on inner products and coefficients only."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labelnoise.theory.simulation.products import Products


class BatchedDescent:
    r"""Full-batch gradient descent of b runs; their weights are never formed.

    Every filter is w(0) + sum_i c_i xi_i + a mu. With :math:`l'_i = -1/(1 + \exp(\tilde y_i f_i))`
    and the sign j of the filter's class, one step adds

    .. math::
        -\tfrac{\eta}{nm}\, j\, \tilde y_i l'_i\, 1[\langle w, \xi_i\rangle > 0]
        \quad\text{to } c_i, \qquad
        -\tfrac{\eta}{nm}\, j \sum_i \tilde y_i y_i l'_i\, 1[y_i\langle w, \mu\rangle > 0]
        \quad\text{to } a,

    and the products with all features follow from those of w(0) and the Gram matrix of the
    features. A step takes m n^2 multiplications for each class at every d. In the normalization of
    the paper, gamma = j a |mu|^2 and rho_i = c_i |xi_i|^2. Source: arXiv 2505.18909, the update
    equations of the coefficients.

    If a step changes no bit of the coefficients of any run, `simulate` ends the chunk. This is
    rare: step t changes them by about 1 / (t log t) of their size, which float32 resolves for about
    10^6 steps. At n = 20, m = 10 and eta = 0.1 no run was stationary within 40,000 steps up to
    d = 6,000. Many runs are stationary only if T1 is far below one step (25 to 83 % at
    d = 6 * 10^5, 91 to 98 % at 10^7). Single runs are not removed from a chunk, because this would
    change the rounding of the others.

    Args:
        products: the inner products of the runs.
        m: (b,) number of filters of each class, at most half the rows of ``products.start``.
        eta: (b,) learning rates.
        dtype: floating-point type of the computation.
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
        # Filters last, so that they are contiguous in memory for each feature.
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
            # Sums over the samples with y = +1, and minus the sum over those with y = -1.
            positive = (pull * self._positive).sum(1, keepdim=True)
            negative = positive - pull.sum(1, keepdim=True)
            moved = active[:, n] * positive + (self.product[:, n] < 0) * negative
            self.coefficients[:, n].addcmul_(moved, self.class_sign)
            # From w(0) at every step, so that rounding errors do not accumulate.
            torch.baddbmm(self.start, self.features, self.coefficients, out=self.product)

    def margin(self) -> Float[Tensor, "b n"]:
        """f = F_{+1} - F_{-1} of every training sample."""
        return self._margin(self.product.relu())

    def _margin(self, activation: Float[Tensor, "b width rows"]) -> Float[Tensor, "b n"]:
        response = self._response(activation)
        negative = self._response((-self.product[:, self.n :]).relu())
        return response[:, : self.n] + torch.where(self.sign > 0, response[:, self.n :], negative)

    def _response(self, activation: Float[Tensor, "b s rows"]) -> Float[Tensor, "b s"]:
        """The contribution of s patches to f, from their activations of all filters."""
        return activation @ self.class_sign / self.m[:, None]

    def signal_margins(self) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """The contribution of the signal patch to f for y = -1, and for y = +1."""
        along = self.product[:, self.n]
        negative, positive = self._response(torch.stack([-along, along], dim=1).relu()).unbind(1)
        return negative, positive

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
        """Noise memorization: positive values are rho_bar, negative values rho_underbar."""
        return (self.coefficients[:, : self.n] * self.patch_squared[..., None]).mT

    @property
    def is_noisy(self) -> Bool[Tensor, "b n"]:
        """Whether the given label differs from the true label."""
        return self.sign != self.given_sign

    def weight_products(self) -> Float[Tensor, "b rows rows"]:
        """<w, w'> of all pairs of filters at the current weights."""
        crossed = self.start.mT @ self.coefficients
        moved = self.coefficients.mT @ self.features @ self.coefficients
        return self.filters + crossed + crossed.mT + moved

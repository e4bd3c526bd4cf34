"""A reference for tests: gradient descent of the two-layer CNN as a recursion on gamma and rho.

It is slow and simple, and independent of `BatchedDescent` and of `SignalNoiseDecomposition`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labelnoise.checks import POSITIVE, check_number
from labelnoise.errors import InputError
from labelnoise.theory.decomposition import Coefficients, feature_directions, own_class_mask


def relative_gram(directions: Float[Tensor, "a d"]) -> Float[Tensor, "a a"]:
    """Return <v_a, v_b> / |v_a|^2, the change of <w, v_b> if w changes by v_a / |v_a|^2."""
    gram = directions @ directions.T
    return gram / gram.diagonal()[:, None]


def network_logits(
    signal_product: Float[Tensor, "K m"], noise_product: Float[Tensor, "K m n"], sign: Tensor
) -> Float[Tensor, "n K"]:
    """Return F_k(x_i) = (1/m) sum_r relu(y_i <w_{k,r}, mu>) + relu(<w_{k,r}, xi_i>).

    ``sign`` is the true y, (n,), -1 or +1; the signal patch is y mu.
    """
    signal_response = (signal_product[..., None] * sign).relu()
    return (signal_response + noise_product.relu()).mean(dim=1).T


class CoefficientRecursion:
    r"""Full-batch gradient descent of the two-layer CNN, as an update of its coefficients.

    With :math:`l'_i = -1/(1 + \exp(\tilde y_i f_i))`, y the true and :math:`\tilde y` the given
    sign, and :math:`j` the sign of the filter's class, one step is

    .. math::
        \gamma_{j,r} &\mathrel{-}= \tfrac{\eta |\mu|^2}{nm} \sum_i l'_i\,
            1[\langle w_{j,r}, y_i \mu\rangle > 0]\, \tilde y_i y_i \\
        \bar\rho_{j,r,i} &\mathrel{-}= \tfrac{\eta |\xi_i|^2}{nm} l'_i\,
            1[\langle w_{j,r}, \xi_i\rangle > 0]\, 1[\tilde y_i = j] \\
        \underline\rho_{j,r,i} &\mathrel{+}= \tfrac{\eta |\xi_i|^2}{nm} l'_i\,
            1[\langle w_{j,r}, \xi_i\rangle > 0]\, 1[\tilde y_i = -j]

    The inner products follow from w(0) and the Gram matrix, so w is never formed. This computation
    of gamma and rho is independent of the solver of `SignalNoiseDecomposition`. It needs no linear
    independence, so it also works for d < n + 1.

    The gradient of relu at 0 is 0, as in torch; the indicator of the paper has >= 0. This matters
    only for filters that start orthogonal to a patch, such as zero filters.

    Args:
        signal: mu, (d,).
        noise_patches: xi_i as rows, (n, d).
        label: given labels, (n,), 0 or 1.
        clean_label: true labels, (n,), 0 or 1.
        initial_weight: w(0), (2, m, d).
        learning_rate: eta, above 0.

    Attributes:
        gamma: (2, m), float64.
        rho_bar: (2, m, n), float64, at least 0; nonzero only for the class of the given label.
        rho_underbar: (2, m, n), float64, at most 0; nonzero only for the other class.

    Raises:
        InputError: other shapes, labels or learning rates, or a zero vector.

    Source: arXiv 2505.18909, the coefficients' update equations.

    Example:
        >>> run = CoefficientRecursion(
        ...     signal=torch.tensor([2.0, 0.0]),
        ...     noise_patches=torch.tensor([[0.0, 1.0]]),
        ...     label=torch.tensor([1]),
        ...     clean_label=torch.tensor([1]),
        ...     initial_weight=torch.tensor([[[-1.0, -1.0]], [[1e-9, 1e-9]]]),
        ...     learning_rate=0.1,
        ... )
        >>> run.step()
        >>> run.gamma.numpy().round(3).tolist(), run.rho_bar.numpy().round(3).tolist()
        ([[0.0], [0.2]], [[[0.0]], [[0.05]]])
    """

    def __init__(
        self,
        signal: Float[Tensor, " d"],
        noise_patches: Float[Tensor, "n d"],
        label: Int[Tensor, " n"],
        clean_label: Int[Tensor, " n"],
        initial_weight: Float[Tensor, "K m d"],
        learning_rate: float,
    ) -> None:
        directions = feature_directions(signal, noise_patches)
        n, d = noise_patches.shape
        if initial_weight.ndim != 3 or initial_weight.shape[0] != 2 or initial_weight.shape[2] != d:
            raise InputError(
                f"initial_weight has shape {tuple(initial_weight.shape)} but must have "
                f"(2, m, {d}): two classes of m filters of the length of the signal"
            )
        check_number("learning_rate", learning_rate, POSITIVE)
        self._given_sign = _sign(label, "label", directions, n)
        self._true_sign = _sign(clean_label, "clean_label", directions, n)

        m = initial_weight.shape[1]
        self._norm_squared = directions.square().sum(dim=1)
        self._relative_gram = relative_gram(directions)
        self._initial_product = initial_weight.detach().to(directions) @ directions.T
        self._rate = learning_rate / (n * m)
        self._class_sign = directions.new_tensor([[-1.0], [1.0]])
        self.gamma = directions.new_zeros(2, m)
        self.rho_bar = directions.new_zeros(2, m, n)
        self.rho_underbar = directions.new_zeros(2, m, n)
        self._own = own_class_mask(self.rho_bar, label)

    @property
    def coefficients(self) -> Coefficients:
        """gamma (2, m) and rho = rho_bar + rho_underbar (2, m, n)."""
        return Coefficients(self.gamma, self.rho_bar + self.rho_underbar)

    def logits(self) -> Float[Tensor, "n 2"]:
        """The logits (F_{-1}, F_{+1}) of the training samples."""
        return network_logits(*self._products(), self._true_sign)

    def loss(self) -> float:
        """Mean of log(1 + exp(-noisy_y f)) over the training samples, f = F_{+1} - F_{-1}."""
        return torch.nn.functional.softplus(-self._given_margin(self.logits())).mean().item()

    def step(self) -> None:
        """Take one step of full-batch gradient descent."""
        signal_product, noise_product = self._products()
        logits = network_logits(signal_product, noise_product, self._true_sign)
        pull = self._rate * torch.sigmoid(-self._given_margin(logits))  # (n,), -eta l'_i / (n m)

        signal_active = (signal_product[..., None] * self._true_sign > 0).to(pull)
        signal_pull = signal_active @ (pull * self._given_sign * self._true_sign)
        growth = (noise_product > 0) * (pull * self._norm_squared[1:])
        # New tensors, not in-place sums, so that coefficients returned earlier do not change.
        self.gamma = self.gamma + self._norm_squared[0] * signal_pull
        self.rho_bar = self.rho_bar + growth * self._own
        self.rho_underbar = self.rho_underbar - growth * ~self._own

    def _products(self) -> tuple[Tensor, Tensor]:
        """<w, mu> (2, m) and <w, xi_i> (2, m, n) at the current coefficients."""
        gamma, rho = self.coefficients
        along = torch.cat([(self._class_sign * gamma)[..., None], rho], dim=-1)
        product = self._initial_product + along @ self._relative_gram
        return product[..., 0], product[..., 1:]

    def _given_margin(self, logits: Tensor) -> Tensor:
        return self._given_sign * (logits[:, 1] - logits[:, 0])


def _sign(label: Tensor, name: str, like: Tensor, n: int) -> Tensor:
    """y in {-1, +1} of labels in {0, 1}."""
    if label.shape != (n,) or not ((label == 0) | (label == 1)).all():
        raise InputError(
            f"{name} has shape {tuple(label.shape)} and values "
            f"{label.unique()[:5].tolist()} but must have ({n},) with values 0 (y = -1) and "
            "1 (y = +1): give one class index for each noise patch"
        )
    return 2 * label.to(like) - 1

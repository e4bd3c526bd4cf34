"""The two-layer CNN of the theory for K classes, on patches, images and rows of features."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from labelnoise.config.ranges import check_options_of
from labelnoise.errors import InputError
from labelnoise.seeding import stream


def patch_logits(
    input: Float[Tensor, "n P d"], weight: Float[Tensor, "K m d"]
) -> Float[Tensor, "n K"]:
    """F_k(x) = (1/m) sum_r sum_p relu(<w[k, r], x_p>) for inputs given as patches."""
    return patch_activations(input, weight).sum(1).mean(-1)


def patch_activations(
    input: Float[Tensor, "n P d"], weight: Float[Tensor, "K m d"]
) -> Float[Tensor, "n P K m"]:
    """The hidden units relu(<w[k, r], x_p>)."""
    num_classes, filters, _ = weight.shape
    activation = F.relu(input.flatten(0, 1) @ weight.flatten(0, 1).T)
    return activation.view(len(input), -1, num_classes, filters)


def image_logits(
    input: Float[Tensor, "n C H W"], weight: Float[Tensor, "K m C kh kw"], stride: int = 1
) -> Float[Tensor, "n K"]:
    """:func:`patch_logits` with the windows of a convolution as patches (no padding).

    With a window as large as the image this is the fully connected two-layer network.
    """
    if weight.shape[2:] == input.shape[1:]:
        return patch_logits(input.flatten(1).unsqueeze(1), weight.flatten(2))
    num_classes, filters = weight.shape[:2]
    activation = image_activations(input, weight, stride)
    return activation.sum((2, 3)).view(len(input), num_classes, filters).mean(-1)


def image_activations(
    input: Float[Tensor, "n C H W"], weight: Float[Tensor, "K m C kh kw"], stride: int = 1
) -> Float[Tensor, "n Km h w"]:
    """The hidden units for every filter and window."""
    return F.relu(F.conv2d(input, weight.flatten(0, 1), stride=stride))


class TwoLayerCNN(nn.Module):
    """Two-layer CNN with K logits and a fixed second layer.

        F_k(x) = (1/m) sum_r sum_p relu(<w[k, r], x_p>),   w[k, r] ~ N(0, sigma_0^2 I)

    A row of d features is one patch, P = 1.

    With K = 2 (class 1 is y = +1, class 0 is y = -1) this is the network of the theory, and
    cross-entropy on its logits is the logistic loss log(1 + exp(-y f)), f = F_1 - F_0.
    Source: arXiv 2505.18909, section on the problem set-up.

    Args:
        input_shape: (P, d) for patches, (C, H, W) for images, or (d,) for rows of features.
        num_classes: K.
        filters: m, number of filters of each class.
        sigma_0: standard deviation of the initial weights.
        kernel_size: side of the convolution window on images; None is the whole image. Ignored on
            patches.
        stride: step of the convolution window on images.
        seed: the initial weights are drawn from ``stream(seed, "init")``.

    Attributes:
        weight: the first layer, (K, m, d) or (K, m, C, kh, kw).
        initial_weight: w(0), same shape.

    Raises:
        InputError: a size that is not positive, or a window larger than the image.

    Example:
        >>> model = TwoLayerCNN((2, 8), num_classes=2, filters=3)
        >>> model(torch.zeros(5, 2, 8)).shape
        torch.Size([5, 2])
        >>> TwoLayerCNN((3, 32, 32), 10, filters=4, kernel_size=5, stride=2).weight.shape
        torch.Size([10, 4, 3, 5, 5])
    """

    initial_weight: Tensor

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        *,
        filters: int = 20,
        sigma_0: float = 0.01,
        kernel_size: int | None = None,
        stride: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_options_of(
            TwoLayerCNN, "model.",
            filters=filters, sigma_0=sigma_0, kernel_size=kernel_size, stride=stride,
        )  # fmt: skip
        if len(input_shape) == 1:
            input_shape = (1, *input_shape)
        window = tuple(input_shape[1:]) if len(input_shape) == 2 else tuple(input_shape)
        if len(input_shape) == 3 and kernel_size is not None:
            if kernel_size > min(input_shape[1:]):
                raise InputError(
                    f"model.kernel_size={kernel_size} is larger than the images, "
                    f"{input_shape[1]}x{input_shape[2]}: write null for a window of the whole image"
                )
            window = (input_shape[0], kernel_size, kernel_size)
        self.stride = stride
        shape = (num_classes, filters, *window)
        self.weight = nn.Parameter(sigma_0 * torch.randn(shape, generator=stream(seed, "init")))
        # gamma and rho need w(0). It follows from the seed, so checkpoints do not store it.
        self.register_buffer("initial_weight", self.weight.detach().clone(), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim == 2:
            input = input.unsqueeze(1)
        if input.ndim == 3:
            return patch_logits(input, self.weight)
        return image_logits(input, self.weight, self.stride)

    def hidden(self, input: Tensor) -> Float[Tensor, "n units"]:
        """The hidden units: one for every filter and every patch or window."""
        if input.ndim == 2:
            input = input.unsqueeze(1)
        if input.ndim == 3:
            return patch_activations(input, self.weight).flatten(1)
        return image_activations(input, self.weight, self.stride).flatten(1)

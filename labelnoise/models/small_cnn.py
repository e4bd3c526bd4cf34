"""A convolutional network that trains on a CPU in minutes."""

from __future__ import annotations

from torch import Tensor, nn

from labelnoise.config.ranges import check_options_of
from labelnoise.models.images import image_shape, initial_weights


class SmallCNN(nn.Module):
    """Three 3x3 convolutions, each with ReLU and 2x2 max pooling, and one hidden linear layer.

        (C, H, W) -> (w, H/2, W/2) -> (w, H/4, W/4) -> (2w, H/8, W/8) -> 8w -> K

    It has no batch norm and no dropout. With w = 32 the network has 0.3 million weights, and a
    32x32 image takes 4.7 million multiply-adds. Initial weights have Kaiming's normal distribution
    by fan-in, N(0, 2 / fan_in); the output layer has N(0, 0.01^2); biases are 0. Initial
    predictions are therefore near 1/K. With confident initial predictions, losses with small
    gradients for confident mistakes, such as gce, would not train.

    Args:
        input_shape: (C, H, W), H and W at least 8.
        num_classes: K.
        width: w, number of channels of the first convolution.
        seed: the initial weights are drawn from ``stream(seed, "init")``.

    Raises:
        InputError: patches, images below 8x8, or a width below 1.

    Example:
        >>> import torch
        >>> SmallCNN((3, 32, 32), 10)(torch.zeros(5, 3, 32, 32)).shape
        torch.Size([5, 10])
        >>> SmallCNN((3, 64, 48), 2, width=4)(torch.zeros(5, 3, 64, 48)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        *,
        width: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_options_of(SmallCNN, "model.", width=width)
        channels, rows, columns = image_shape(input_shape, "cnn", smallest=8)
        with initial_weights(seed):
            head = nn.Linear(8 * width, num_classes)
            self.layers = nn.Sequential(
                *_convolution(channels, width),
                *_convolution(width, width),
                *_convolution(width, 2 * width),
                nn.Flatten(),
                nn.Linear(2 * width * (rows // 8) * (columns // 8), 8 * width),
                nn.ReLU(inplace=True),
                head,
            )
            for layer in self.layers:
                if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)
            nn.init.normal_(head.weight, std=0.01)

    def forward(self, input: Tensor) -> Tensor:
        return self.layers(input)


def _convolution(channels: int, width: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, width, kernel_size=3, padding=1)
    return [convolution, nn.ReLU(inplace=True), nn.MaxPool2d(2)]

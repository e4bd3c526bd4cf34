"""VGG for small images: the convolutions of torchvision with a head for 32x32 images."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from labelnoise.checks import check_word
from labelnoise.config.ranges import check_options_of
from labelnoise.models.images import image_shape, initial_weights

# Torchvision's names of the configurations in the source's table 1.
_LAYERS = {11: "A", 13: "B", 16: "D", 19: "E"}


class VGG(nn.Module):
    """VGG with a 512-4096-4096-K head; ReLU and dropout follow each hidden layer of the head.

    The convolutions are torchvision's. Five poolings reduce a 32x32 image to one pixel with 512
    channels; for larger images the remaining pixels are averaged. Initial weights of convolutions
    have Kaiming's normal distribution by fan-out, N(0, 2 / fan_out); linear layers have
    N(0, 0.01^2); biases are 0.
    Sources: Simonyan and Zisserman, arXiv 1409.1556, table 1. The head and the initial weights are
    from the code for arXiv 2505.18909.

    Args:
        input_shape: (C, H, W), H and W at least 32.
        num_classes: K.
        depth: number of layers with weights: 11, 13, 16 or 19.
        batch_norm: batch norm after each convolution.
        dropout: share of hidden units of the head left out at each training step, in [0, 1).
        seed: the initial weights are drawn from ``stream(seed, "init")``.

    Raises:
        InputError: patches, images below 32x32, another depth, or a dropout outside [0, 1).

    Example:
        >>> model = VGG((3, 32, 32), 10, depth=11)
        >>> sum(weights.numel() for weights in model.parameters())
        28144010
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        *,
        depth: int = 11,
        batch_norm: bool = False,
        dropout: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_word("model.depth of VGG", depth, _LAYERS)
        check_options_of(VGG, "model.", dropout=dropout)
        channels, _, _ = image_shape(input_shape, f"vgg{depth}", smallest=32)
        with initial_weights(seed):
            self.features = make_layers(cfgs[_LAYERS[depth]], batch_norm=batch_norm)
            if channels != 3:
                self.features[0] = nn.Conv2d(channels, 64, kernel_size=3, padding=1)
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.classifier = nn.Sequential(
                nn.Linear(512, 4096),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(4096, 4096),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(4096, num_classes),
            )
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                elif isinstance(layer, nn.Linear):
                    nn.init.normal_(layer.weight, std=0.01)
                if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, input: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(input)).flatten(1))

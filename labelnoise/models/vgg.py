"""VGG for small images: torchvision's convolutions under a head that 32x32 images can feed."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from labelnoise.checks import check_word
from labelnoise.config.ranges import check_options_of
from labelnoise.models.images import image_shape, initial_weights

# Torchvision's names of the configurations in the source's table 1.
_LAYERS = {11: "A", 13: "B", 16: "D", 19: "E"}


class VGG(nn.Module):
    """VGG with a 512-4096-4096-K head, each hidden layer of which is followed by ReLU and dropout.

    The convolutions are torchvision's; five poolings leave one pixel of 512 channels of a 32x32
    image, and what they leave of larger images is averaged. Convolutions start from Kaiming's
    normal law by fan-out, N(0, 2 / fan_out), linear layers from N(0, 0.01^2), biases from 0.
    Sources: Simonyan and Zisserman, arXiv 1409.1556, table 1; this head and these laws on CIFAR-10
    are those of the code for arXiv 2505.18909.

    Args:
        input_shape: (C, H, W), H and W at least 32.
        num_classes: K.
        depth: layers with weights: 11, 13, 16 or 19.
        batch_norm: normalise after each convolution.
        dropout: share of the head's hidden units left out at each training step, in [0, 1).
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

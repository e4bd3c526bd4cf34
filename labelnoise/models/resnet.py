"""ResNet for small images: the ResNet of torchvision with a first layer of stride 1."""

from __future__ import annotations

from torch import nn
from torchvision.models import resnet as torchvision_resnet
from torchvision.models.resnet import BasicBlock, Bottleneck

from labelnoise.checks import check_word
from labelnoise.models.images import image_shape, initial_weights

# The block and the number of blocks in each of the four stages: table 1 of the source.
_BLOCKS: dict[int, tuple[type[BasicBlock | Bottleneck], list[int]]] = {
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
}


class ResNet(torchvision_resnet.ResNet):
    """Torchvision's ResNet with a 3x3 stem of stride 1 and no max pooling, as is usual on CIFAR.

    The original 7x7 stem of stride 2 and its pooling would reduce a 32x32 image to 8x8 pixels
    before the first block. Initial weights have the distributions of torchvision. Source: He et
    al., arXiv 1512.03385, table 1.

    Args:
        input_shape: (C, H, W).
        num_classes: K.
        depth: number of layers with weights: 18, 34 or 50.
        seed: the initial weights are drawn from ``stream(seed, "init")``.

    Raises:
        InputError: patches, or another depth.

    Example:
        >>> model = ResNet((3, 32, 32), 10, depth=18)
        >>> sum(weights.numel() for weights in model.parameters())
        11173962
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        *,
        depth: int = 18,
        seed: int = 0,
    ) -> None:
        check_word("model.depth of ResNet", depth, _BLOCKS)
        channels, _, _ = image_shape(input_shape, f"resnet{depth}")
        block, layers = _BLOCKS[depth]
        with initial_weights(seed):
            super().__init__(block, layers, num_classes=num_classes)
            self.conv1 = nn.Conv2d(channels, 64, kernel_size=3, padding=1, bias=False)
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.maxpool = nn.Identity()

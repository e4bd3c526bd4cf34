"""Networks: every one maps a batch of inputs to logits (n, K)."""

from labelnoise.models.resnet import ResNet
from labelnoise.models.small_cnn import SmallCNN
from labelnoise.models.two_layer_cnn import TwoLayerCNN
from labelnoise.models.vgg import VGG

__all__ = ["VGG", "ResNet", "SmallCNN", "TwoLayerCNN"]

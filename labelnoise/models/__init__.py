"""Networks that map a batch of inputs to logits (n, K).

Axes: n samples, K classes, P patches of dimension d (a row of d features is one patch), m filters
of each class, C channels, H x W pixels, kh x kw pixels of a convolution window, h x w positions of
the window.
"""

from labelnoise.models.mlp import MLP, LinearClassifier
from labelnoise.models.resnet import ResNet
from labelnoise.models.small_cnn import SmallCNN
from labelnoise.models.two_layer_cnn import TwoLayerCNN
from labelnoise.models.vgg import VGG

__all__ = ["MLP", "VGG", "LinearClassifier", "ResNet", "SmallCNN", "TwoLayerCNN"]

"""Networks: every one maps a batch of inputs to logits (n, K)."""

from labelnoise.models.two_layer_cnn import TwoLayerCNN

__all__ = ["TwoLayerCNN"]

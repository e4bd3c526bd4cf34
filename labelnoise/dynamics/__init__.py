"""Measurements of every training sample in every epoch: record them, store them, compute scores.

Nothing is imported here, so that an audit of predictions starts without torch.

Axes: n training samples, K classes, b samples of a batch, g groups of neighbouring values, "rows"
recorded epochs.
"""

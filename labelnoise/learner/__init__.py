"""The LightningModules: per-sample loss, optimizer step, metrics, recorded history.

Axes: n samples (of a batch or of a split), K classes.
"""

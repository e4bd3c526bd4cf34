"""The LightningModules: per-sample loss, optimizer step, metrics by label, recorded history."""

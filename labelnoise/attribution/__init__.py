"""Attribution maps of a checkpoint."""

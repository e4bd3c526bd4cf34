"""A run: build its parts, train, evaluate and report; processes and checkpoints of the run."""

"""One run: build the parts, fit, evaluate, report; with its processes and checkpoints."""

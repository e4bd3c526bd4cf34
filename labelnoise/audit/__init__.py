"""An audit: judge every label by networks that have not trained on it, and by the dynamics.

Axes: n samples, K classes, T epochs, k folds, "pairs" of samples.
"""

"""Gradients, curvature and coefficients of a network, for monitors and techniques.

Axes: s samples, p parameters (flattened), L layers, k Lanczos vectors, K classes, m filters of
each class, n training samples.
"""

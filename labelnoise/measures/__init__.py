"""Mathematics under monitors and techniques: gradients, curvature, coefficients."""

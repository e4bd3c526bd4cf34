"""Thousands of exact theory runs at once, at a cost that does not depend on the dimension d.

Axes: b runs, n training samples, m filters of each class, "rows" = 2m filters (class -1, then class
+1), "n+1" and "width" the features xi_1, ..., xi_n, mu, T logged steps, s test samples or patches,
u distinct draws of test samples, d dimension of a patch.
"""

from labelnoise.theory.simulation.descent import BatchedDescent
from labelnoise.theory.simulation.products import Products, draw_products, products_of
from labelnoise.theory.simulation.run import Trajectories, geometric_steps, simulate
from labelnoise.theory.simulation.setting import Setting

__all__ = [
    "BatchedDescent",
    "Products",
    "Setting",
    "Trajectories",
    "draw_products",
    "geometric_steps",
    "products_of",
    "simulate",
]

"""Thousands of exact theory runs at once, whose cost does not depend on the dimension d."""

from labelnoise.theory.simulation.descent import BatchedDescent
from labelnoise.theory.simulation.products import Products, draw_products, products_of
from labelnoise.theory.simulation.run import Trajectories, geometric_steps, simulate
from labelnoise.theory.simulation.setting import Setting
from labelnoise.theory.simulation.stages import StageSteps, at_steps, stage_steps

__all__ = [
    "BatchedDescent",
    "Products",
    "Setting",
    "StageSteps",
    "Trajectories",
    "at_steps",
    "draw_products",
    "geometric_steps",
    "products_of",
    "simulate",
    "stage_steps",
]

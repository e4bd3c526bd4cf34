"""The commands: ``run.py`` and ``phase_diagram.py`` in the repository, console commands in a wheel.

Each module has a ``main()``. Hydra names a job by the module, so the module is named as the script.
"""

"""The launcher ``hydra/launcher=isolated``, where Hydra looks for it.

Hydra accepts only launchers of the namespace package ``hydra_plugins``, and imports them at every
start. So the work is in :mod:`labelnoise.sweeps.launcher`, which is imported for a sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from labelnoise.sweeps.launcher import Sweep


class IsolatedLauncher(Launcher):
    """Runs each job of a sweep in a process of its own; see conf/hydra/launcher/isolated.yaml."""

    def __init__(self, n_jobs: int | None = None, fail_fast: bool = False) -> None:
        self._options = n_jobs, fail_fast
        self._sweep: Sweep | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from labelnoise.sweeps.launcher import Sweep

        self._sweep = Sweep(*self._options, hydra_context, task_function, config)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        assert self._sweep is not None
        return self._sweep.launch(job_overrides, initial_job_idx)

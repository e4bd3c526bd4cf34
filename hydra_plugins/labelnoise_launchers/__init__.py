"""The launchers ``hydra/launcher=isolated|slurm|slurm_local|ray``, where Hydra looks for them.

Hydra accepts only launchers of the namespace package ``hydra_plugins``, and imports them at every
start. So the work is in :mod:`labelnoise.sweeps.launcher`, which is imported for a sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from labelnoise.sweeps.launcher import Sweep


class _Launcher(Launcher):
    """Runs the jobs of a sweep; ``name`` is a name in :data:`labelnoise.sweeps.crews.CREWS`."""

    name: ClassVar[str]

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._sweep: Sweep | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from labelnoise.sweeps.launcher import Sweep

        self._sweep = Sweep(self.name, self._options, hydra_context, task_function, config)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        assert self._sweep is not None
        return self._sweep.launch(job_overrides, initial_job_idx)


class IsolatedLauncher(_Launcher):
    """Each job in a process of its own; see conf/hydra/launcher/isolated.yaml."""

    name = "isolated"


class SlurmLauncher(_Launcher):
    """Each job as a job of SLURM; see conf/hydra/launcher/slurm.yaml."""

    name = "slurm"


class SlurmLocalLauncher(_Launcher):
    """Each job as on SLURM, on this machine; see conf/hydra/launcher/slurm_local.yaml."""

    name = "slurm_local"


class RayLauncher(_Launcher):
    """Each job as a task of Ray; see conf/hydra/launcher/ray.yaml."""

    name = "ray"

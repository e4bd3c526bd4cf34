"""``logger=wandb``: Weights & Biases, offline unless the user asks for its server."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from omegaconf import DictConfig

from labelnoise.errors import InputError
from labelnoise.report.trackers.tracker import Tracker, numbers

log = logging.getLogger(__name__)

MODES = ("offline", "online", "disabled")
_SECONDS = 30  # to wait for the server at the start


class Wandb(Tracker):
    """Lightning's WandbLogger in the folder ``wandb`` of the run.

    Offline, a resumed run removes the folder of the killed run and logs the steps before its
    checkpoint again. Online, it continues the run of the same id at the server. W&B takes each step
    once, in increasing order, so it drops the steps that it has.
    """

    package = "wandb"
    taken = (
        "save_dir",
        "dir",
        "name",
        "id",
        "version",
        "prefix",
        "offline",
        "experiment",
        "settings",
    )

    @classmethod
    def check(cls, choice: str, node: DictConfig) -> None:
        super().check(choice, node)
        mode = node.get("mode", "online")
        if mode not in MODES:
            raise InputError(f"logger.{choice}.mode must be one of {', '.join(MODES)}, got {mode}")
        # Otherwise wandb would send its own errors to a server.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        if mode == "online" and not _has_key():
            raise InputError(
                f"logger.{choice}.mode=online needs a key of Weights & Biases: run `wandb login`, "
                f"set WANDB_API_KEY, or write logger.{choice}.mode=offline"
            )

    def arguments(self) -> dict[str, Any]:
        import wandb

        node = self.cfg.logger[self.choice]
        wandb.setup(wandb.Settings(silent=True))
        if node.get("mode") == "offline":
            shutil.rmtree(self.run.wandb, ignore_errors=True)
        identity = self.run.manifest.section("wandb").get("id") or uuid4().hex[:12]
        self.run.manifest.update(wandb={"id": identity})
        sweep = self.place().parent.as_posix()
        return {
            "save_dir": str(self.run.path),
            "id": identity,
            "name": self.label(),
            "group": node.get("group") or (None if sweep == "." else sweep),
            "settings": wandb.Settings(silent=True, console="off", init_timeout=_SECONDS),
        }

    def _open(self) -> None:
        _ = self.logger.experiment

    def _start(self, truth_known: bool, has_test: bool) -> None:
        self.logger.experiment.config.update(self.options(), allow_val_change=True)
        if self.logger.experiment.url:
            log.info("logger=%s: %s", self.choice, self.logger.experiment.url)

    def _log(self, metrics: Mapping[str, float], step: int) -> None:
        # WandbLogger leaves the step out, and W&B would count the calls.
        self.logger.experiment.log({**metrics, "trainer/global_step": step}, step=step)

    def _finish(self, summary: Mapping[str, Any], figures: Mapping[str, Path]) -> None:
        import wandb

        images = {f"figures/{name}": wandb.Image(str(path)) for name, path in figures.items()}
        if images:
            self.logger.experiment.log(images, step=summary["step"])
        self.logger.experiment.summary.update(numbers(summary))

    def _close(self, status: str) -> None:
        self.logger.finalize(status)
        self.logger.experiment.finish(exit_code=0 if status == "success" else 1)


def _has_key() -> bool:
    """Whether wandb finds a key in the environment or in .netrc; it asks nobody."""
    import wandb

    try:
        wandb.setup(wandb.Settings(silent=True))
        return bool(wandb.login(prompt=False, verify=False))
    except Exception as error:
        raise InputError(f"Weights & Biases refuses the key: {error}") from error

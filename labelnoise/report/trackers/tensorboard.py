"""``logger=tensorboard``: charts, figures, and the options and results of runs in HPARAMS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from labelnoise.report.pictures.two_stages import ACCURACIES, COEFFICIENTS, ERRORS
from labelnoise.report.tables.settings import settings_of
from labelnoise.report.trackers.tracker import Tracker, numbers

CHARTS = {
    "signal learning against noise memorization": [curve.metric for curve in COEFFICIENTS],
    "accuracy on all, clean and noisy samples": [curve.metric for curve in ACCURACIES],
    "held-out accuracy": [curve.metric for curve in ERRORS],
}
# If the true labels are unknown.
CHARTS_AS_GIVEN = {
    "accuracy": ["train/acc", "test/acc"],
    "held-out accuracy": CHARTS["held-out accuracy"],
}


class TensorBoard(Tracker):
    """Lightning's TensorBoardLogger in the folder ``tensorboard`` of the run.

    In a resumed run TensorBoard drops the points after the checkpoint, which are logged again.

    The HPARAMS page has a row for each run. A logger usually writes a list of options and metrics
    for this page in every run, and TensorBoard shows only the list of one of the runs. Here no run
    writes a list, and TensorBoard collects the options and metrics of all runs.
    """

    taken = ("save_dir", "name", "version", "prefix", "purge_step")

    def arguments(self) -> dict[str, Any]:
        self.continues = self.run.tensorboard.exists()
        purged = 0 if self.resumed_step is None else self.resumed_step + 1
        return {
            "save_dir": str(self.run.path),
            "name": "",
            "version": self.run.tensorboard.name,
            **({"purge_step": purged} if self.continues else {}),
        }

    def _start(self, truth_known: bool, has_test: bool) -> None:
        """Set the custom-scalars page (gamma and rho_bar, the accuracies), and add to HPARAMS."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        if self.continues and self.resumed_step is not None:
            return
        charts = CHARTS if truth_known else CHARTS_AS_GIVEN
        layout = {
            title: ["Multiline", [m for m in metrics if has_test or not m.startswith("test/")]]
            for title, metrics in charts.items()
        }
        writer = self.logger.experiment
        writer.add_custom_scalars({"two stages" if truth_known else "run": layout})
        # All options, because a run does not know which of them a sweep compares.
        settings = settings_of(cast(dict[str, Any], OmegaConf.to_container(self.cfg, resolve=True)))
        writer.file_writer.add_summary(hparams_pb(settings, trial_id=self.label()))

    def _resume(self, rows: Mapping[int, Mapping[str, float]]) -> None:
        if not self.continues:
            super()._resume(rows)

    def _finish(self, summary: Mapping[str, Any], figures: Mapping[str, Path]) -> None:
        from torch.utils.tensorboard.summary import hparams

        writer = self.logger.experiment
        for name, path in figures.items():
            with Image.open(path) as opened:  # add_figure would draw it again
                pixels = np.asarray(opened.convert("RGB"))
            writer.add_image(name, pixels, summary["step"], dataformats="HWC")
        self._log(numbers(summary), summary["step"])
        *_, end = hparams({}, {})
        writer.file_writer.add_summary(end)

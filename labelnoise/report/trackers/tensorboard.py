"""``logger=tensorboard``: charts, figures, and the options and results of runs in HPARAMS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from labelnoise.report.loaded import read_dynamics
from labelnoise.report.tables.settings import settings_of
from labelnoise.report.trackers.board import (
    ON_CHARTS,
    add_samples,
    layout_of,
    words_of_results,
    words_of_run,
)
from labelnoise.report.trackers.tracker import Tracker, numbers


class TensorBoard(Tracker):
    """Lightning's TensorBoardLogger in the folder ``tensorboard`` of the run.

    The custom-scalars page has a chart of ``LAYOUT`` as soon as one of its metrics is logged, so
    each chart has data. The text page says what the run is, and at its end what came out. With
    ``monitor=dynamics`` the run ends with histograms of the losses of clean and of noisy samples,
    and with precision-recall curves of the detection of noisy samples, by step.

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

    def _open(self) -> None:
        self.logged: set[str] = set()
        theory = str(self.cfg.data._target_).endswith("SignalNoiseDataModule")
        self.category = "theory" if theory else "images and features"

    def _start(self, truth_known: bool, has_test: bool) -> None:
        """Add the run to the text page and to HPARAMS."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        if self.continues and self.resumed_step is not None:
            return
        writer = self.logger.experiment
        writer.add_text("run", words_of_run(self.label(), self.options(), truth_known), 0)
        # All options, because a run does not know which of them a sweep compares.
        settings = settings_of(cast(dict[str, Any], OmegaConf.to_container(self.cfg, resolve=True)))
        writer.file_writer.add_summary(hparams_pb(settings, trial_id=self.label()))

    def _log(self, metrics: Mapping[str, float], step: int) -> None:
        super()._log(metrics, step)
        self._add_charts(metrics)

    def _add_charts(self, metrics: Iterable[str]) -> None:
        """Show the charts with logged metrics; TensorBoard reads the layout that comes last."""
        new = ON_CHARTS & set(metrics) - self.logged
        self.logged |= new
        if new:
            self.logger.experiment.add_custom_scalars({self.category: layout_of(self.logged)})

    def _resume(self, rows: Mapping[int, Mapping[str, float]]) -> None:
        if not self.continues:
            super()._resume(rows)
        self._add_charts({name for row in rows.values() for name in row})

    def _finish(self, summary: Mapping[str, Any], figures: Mapping[str, Path]) -> None:
        from torch.utils.tensorboard.summary import hparams

        writer = self.logger.experiment
        for name, path in figures.items():
            with Image.open(path) as opened:  # add_figure would draw it again
                pixels = np.asarray(opened.convert("RGB"))
            writer.add_image(name, pixels, summary["step"], dataformats="HWC")
        self._log(numbers(summary), summary["step"])
        writer.add_text("results", words_of_results(summary), summary["step"])
        if self.run.dynamics.is_dir():
            add_samples(writer, read_dynamics(self.run, rows=0))
        *_, end = hparams({}, {})
        writer.file_writer.add_summary(end)

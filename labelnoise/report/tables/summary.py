"""summary.json: the facts and results of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from labelnoise.config.presets import preset_name
from labelnoise.data.batch import Split
from labelnoise.learner.history import History
from labelnoise.learner.label_metrics import BY_TRUTH
from labelnoise.noise import NoiseRecord
from labelnoise.run_directory import RunDirectory
from labelnoise.stoppers import STOPPERS, shadow_stop
from labelnoise.techniques import Technique
from labelnoise.theory import find_stages

# The metrics in ``final`` that are None if the true labels are unknown, or without test samples.
MAY_BE_NONE = (
    *(f"train/{name}" for name in BY_TRUTH),
    "test/loss",
    "test/acc",
    "test/acc_noisy_labels",
)


def summarize(
    cfg: DictConfig,
    *,
    datamodule: Any,
    history: History,
    techniques: Mapping[str, Technique],
    final: dict[str, float],
    run: dict[str, Any],
    suspects: dict[str, Any] | None = None,
    selected_by: str = "val/loss",
    steps_per_epoch: int | None = None,
    theory_t1: float | None = None,
) -> dict[str, Any]:
    """The summary; docs/run_directory.md describes its keys."""
    record: NoiseRecord = datamodule.noise_record
    reports = {name: technique.report() for name, technique in techniques.items()}
    selections = (name for name, technique in techniques.items() if technique.role == "selection")
    knowledge = {fact for t in techniques.values() for fact in t.oracle_knowledge()}
    return {
        **run,
        "data": type(datamodule).__name__,
        "data_left_out": dict(datamodule.left_out),
        "corrections": None if datamodule.corrected is None else dict(datamodule.corrected),
        "noise": record.summary(),
        "stages": {
            **stages(history, theory_t1),
            "dominance_lost_step": dominance_lost_step(history),
        },
        "final": final | {name: None for name in MAY_BE_NONE if name not in final},
        "selected_by": selected_by,
        "report_card": report_card(history, steps_per_epoch, selected_by),
        "test_labels": test_labels(datamodule.test),
        "selection": reports.get(next(selections, "")),
        "suspects": suspects,
        "techniques": reports,
        "technique_preset": preset_name(cfg),
        "oracle_knowledge": sorted(knowledge),
    }


def test_labels(test: Split | None) -> str | None:
    """The labels against which the test accuracy is measured; None without test samples."""
    if test is None:
        return None
    return "clean" if test.truth_known else "given"


def stages(history: History, t1: float | None) -> dict[str, float | None]:
    """The steps of the stages, from the recorded metrics."""
    steps, acc_clean = history.series("train/acc_clean")

    def aligned(name: str) -> list[float]:
        return [history.at(name, int(step)) for step in steps]

    found = find_stages(
        steps,
        acc_clean=acc_clean,
        acc_noisy=aligned("train/acc_noisy"),
        gamma_max=aligned("coefficients/gamma_max"),
        rho_max_noisy=aligned("coefficients/rho_max_noisy"),
        theory_t1=t1,
    )
    return asdict(found)


def dominance_lost_step(history: History) -> int | None:
    """The step of the first of two observations in a row with a dominance below 1.

    The dominance |g_clean| / |g_noise| is that of :class:`labelnoise.monitors.GradientMonitor`.
    """
    stop = shadow_stop(STOPPERS["dominance"], history)
    return None if stop is None else stop.selected_step


def selecting_metric(techniques: Iterable[Technique], num_classes: int) -> str:
    """The validation metric that chooses the network of a run.

    "val/loss" if the run trains on cross-entropy, else "val/acc"; see
    :meth:`labelnoise.techniques.Technique.trains_on_cross_entropy`.
    """
    plain = all(t.trains_on_cross_entropy(num_classes) for t in techniques)
    return "val/loss" if plain else "val/acc"


def report_card(
    history: History, steps_per_epoch: int | None = None, selected_by: str = "val/loss"
) -> dict[str, dict[str, Any] | None]:
    """Test accuracy of the networks that different rules would report.

    It is measured with the true test labels if they are known, else with the given test labels.

    ====================  =====================================================================
    oracle_best           highest test accuracy of the run, marked ``oracle``. This choice uses
                          test data; many published tables show it
    last, mean_last_10    the last network; the mean of the last ten evaluations
    val_selected          the best on noisy validation data by ``selected_by``, "val/loss" or
                          "val/acc"; the entry has it as ``by``
    val_loss_selected     lowest loss on noisy validation data
    val_acc_selected      highest accuracy on noisy validation data
    stop_NAME             the network that the rule NAME of
                          :data:`labelnoise.stoppers.STOPPERS` would have kept; ``knows`` is the
                          oracle knowledge of the rule
    ====================  =====================================================================

    An entry has ``test_acc``, ``step``, ``epoch`` (the number of epochs up to the step, if
    ``steps_per_epoch`` is given), and ``gap``, the percentage points of accuracy below oracle_best.
    The entry of a rule is None if its metric was not measured. A stopping rule that never stops has
    no entry. If a step has no test accuracy, the entry has the last test accuracy before the step.
    """
    steps, acc = history.series("test/acc")
    if not len(steps):
        return dict.fromkeys(("oracle_best", "last", "mean_last_10", *_VALIDATED))
    tests = _Tests(steps, acc, steps_per_epoch)
    tail = acc[-10:]
    card = {
        "oracle_best": tests.entry(int(steps[acc.argmax()]), oracle=True),
        "last": tests.entry(int(steps[-1])),
        "mean_last_10": {
            "test_acc": float(tail.mean()),
            "from_step": int(steps[-len(tail)]),
            "evaluations": len(tail),
            "gap": tests.gap(float(tail.mean())),
        },
        **dict.fromkeys(_VALIDATED),
        "val_loss_selected": tests.lowest(history, "val/loss", 1),
        "val_acc_selected": tests.lowest(history, "val/acc", -1),
    }
    if (chosen := card[f"{selected_by.replace('/', '_')}_selected"]) is not None:
        card["val_selected"] = chosen | {"by": selected_by}
    for name, stopper in STOPPERS.items():
        stop = shadow_stop(stopper, history)
        if stop is not None:
            marks: dict[str, Any] = {"knows": stopper.knows} if stopper.knows else {}
            card[f"stop_{name}"] = tests.entry(
                stop.selected_step, stopped_step=stop.stopped_step, **marks
            )
    return card


_VALIDATED = ("val_selected", "val_loss_selected", "val_acc_selected")


class _Tests(NamedTuple):
    """The test accuracy at each step that was tested."""

    steps: NDArray[Any]
    acc: NDArray[Any]
    steps_per_epoch: int | None

    def gap(self, test_acc: float) -> float:
        """Percentage points of accuracy below the highest test accuracy."""
        return round(100 * (float(self.acc.max()) - test_acc), 4)

    def entry(self, step: int, **marks: Any) -> dict[str, Any]:
        """The entry of the network of ``step``, with the last test accuracy up to this step."""
        last = max(0, int(np.searchsorted(self.steps, step, side="right")) - 1)
        test_acc = float(self.acc[last])
        found = {"test_acc": test_acc, "step": step, "gap": self.gap(test_acc)}
        if self.steps_per_epoch is not None:
            found["epoch"] = round(step / self.steps_per_epoch, 2)
        return found | marks

    def lowest(self, history: History, metric: str, sign: int) -> dict[str, Any] | None:
        """The entry of the tested step with the lowest sign * metric; None if there is no value."""
        at, value = history.series(metric)
        measured = np.isin(at, self.steps) & ~np.isnan(value)
        if not measured.any():
            return None
        return self.entry(int(at[measured][np.argmin(sign * value[measured])]))


def write_summary(run: RunDirectory, summary: dict[str, Any]) -> None:
    """Write summary.json, which marks the run as finished."""
    run.write_json(run.summary, summary)

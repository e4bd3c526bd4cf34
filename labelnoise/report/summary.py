"""summary.json: one object that says what a run was and what came of it."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from labelnoise.data.signal_noise import SignalNoiseDataModule
from labelnoise.history import History
from labelnoise.noise import NoiseRecord
from labelnoise.theory import find_stages, stage_one_length


def summarize(
    cfg: DictConfig,
    *,
    datamodule: Any,
    history: History,
    techniques: dict[str, dict[str, Any]],
    final: dict[str, float],
    run: dict[str, Any],
) -> dict[str, Any]:
    """Put the summary together; its keys are described in docs/run_directory.md."""
    record: NoiseRecord = datamodule.noise_record
    selection = techniques.get("sample_selection")
    return {
        **run,
        "data": type(datamodule).__name__,
        "noise": record.summary(),
        "stages": stages(history, theory_t1(cfg, datamodule)),
        "final": final,
        "report_card": report_card(history),
        "selection": selection,
        "techniques": techniques,
    }


def theory_t1(cfg: DictConfig, datamodule: Any) -> float | None:
    """n m / (eta sigma_xi^2 d), the order of the end of Stage I; None off the theory's ground."""
    plain_descent = cfg.optimizer._target_.endswith(".SGD") and not cfg.optimizer.momentum
    if not isinstance(datamodule, SignalNoiseDataModule) or "filters" not in cfg.model:
        return None
    if not plain_descent:  # its eta would not be the theory's
        return None
    return stage_one_length(
        n=datamodule.n,
        m=cfg.model.filters,
        eta=cfg.optimizer.lr,
        xi_std=datamodule.xi_std,
        d=datamodule.d,
    )


def stages(history: History, t1: float | None) -> dict[str, float | None]:
    """The stage boundaries read off the curves."""
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
    return {
        "clean_fit_step": found.clean_fit_step,
        "crossing_step": found.crossing_step,
        "memorized_step": found.memorized_step,
        "theory_t1": found.theory_t1,
    }


def report_card(history: History) -> dict[str, dict[str, Any] | None]:
    """Clean test accuracy under four rules for which step to report, each with its step.

    ``oracle_best`` is the best on test data: what nobody without clean test labels can choose, and
    what many published tables show. ``val_selected`` is the step of the lowest noisy validation
    loss, ``last`` the last step, ``mean_last_10`` the mean of the last ten evaluations.
    """
    steps, acc = history.series("test/acc")
    if not len(steps):
        return dict.fromkeys(("oracle_best", "last", "mean_last_10", "val_selected"))
    best, tail = int(acc.argmax()), acc[-10:]
    return {
        "oracle_best": _entry(steps[best], acc[best], oracle=True),
        "last": _entry(steps[-1], acc[-1]),
        "mean_last_10": {
            "test_acc": float(tail.mean()),
            "from_step": int(steps[-len(tail)]),
            "evaluations": len(tail),
        },
        "val_selected": _val_selected(history, steps, acc),
    }


def _val_selected(history: History, steps: np.ndarray, acc: np.ndarray) -> dict[str, Any] | None:
    loss = np.array([history.at("val/loss", int(step)) for step in steps])
    if np.isnan(loss).all():
        return None
    chosen = int(np.nanargmin(loss))
    return _entry(steps[chosen], acc[chosen])


def _entry(step: np.integer, acc: np.floating, **marks: bool) -> dict[str, Any]:
    return {"test_acc": float(acc), "step": int(step), **marks}


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write ``summary`` whole or not at all; NaN, which JSON has no word for, becomes null."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(_without_nan(summary), indent=2, allow_nan=False) + "\n")
    os.replace(part, path)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

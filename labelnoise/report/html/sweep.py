"""The page of a sweep, or of several runs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labelnoise.errors import InputError
from labelnoise.report.html.blocks import (
    CYCLE,
    Block,
    Chart,
    Code,
    Curve,
    Facts,
    Page,
    Picture,
    Section,
    Table,
    Words,
)
from labelnoise.report.loaded import LoadedRun
from labelnoise.report.pictures.metric import by_options
from labelnoise.report.pictures.style import many_decades
from labelnoise.report.tables.paired import EXPLANATION, paired_differences
from labelnoise.report.tables.runs import numbers_of
from labelnoise.report.tables.seeds import mean_curve
from labelnoise.report.tables.settings import (
    Settings,
    by_setting,
    settings_of,
    technique_names,
    telling_keys,
    without_seeds,
)
from labelnoise.report.tables.statistics import Mean, mean_of

MOST_CURVES = len(CYCLE)
MOST_BANDS = 4  # more bands hide each other
MOST_CHARTS = 8  # of numbers against options
MOST_ROWS = 1000
# The numbers of summary.json in the tables, with their names and the factor of their unit.
NUMBERS = {
    "final.test/acc": ("test accuracy, network kept", 100),
    "final.val/acc": ("noisy validation accuracy", 100),
    "report_card.last.test_acc": ("test accuracy, last network", 100),
    "report_card.val_selected.test_acc": ("test accuracy, best validation", 100),
    "final.train/memorized_fraction": ("memorized wrong labels", 100),
    "stages.clean_fit_step": ("step: clean fitted", 1),
    "stages.crossing_step": ("step: memorization overtakes", 1),
    "stages.memorized_step": ("step: memorized", 1),
}
SHOWN = {**NUMBERS, "report_card.oracle_best.test_acc": ("test accuracy, oracle", 100)}
# The metrics of the learning curves.
CURVES = {
    "test/acc": ("Test accuracy", "accuracy"),
    "val/acc": ("Noisy validation accuracy", "accuracy"),
    "train/acc_noisy": ("Noisy samples fitted to their wrong label", "accuracy"),
    "coefficients/gamma_max": ("Signal learning, max γ", "coefficient"),
    "coefficients/rho_max_noisy": ("Memorization, max ρ̄ on noisy samples", "coefficient"),
    "selection/precision": ("Precision of the selection", "share"),
}


def page_of_sweep(folder: Path, runs: Sequence[LoadedRun], state: Sequence[Block] = ()) -> Page:
    """The page of finished runs.

    Args:
        folder: the directory of the sweep.
        runs: its finished runs.
        state: blocks on the jobs that did not finish.
    """
    groups = by_setting(runs, lambda run: run.config)
    seconds = sum(run.summary["seconds"] for run in runs)
    lead = [
        f"{_count(len(runs), 'finished run')} of {_count(len(groups), 'setting')}. A setting has "
        "all options of a run except the seed.",
        "Numbers are means over the seeds of a setting with 95 % intervals (Student's t).",
    ]
    found = [settings_of(run.config) for run in runs]
    numbers = [dict(numbers_of(run.summary)) for run in runs]
    sections = [
        *([Section("Jobs", list(state))] if state else []),
        Section("Settings", _settings(groups)),
        *_compared(runs),
        *_curves(groups),
        *_against(found, numbers),
        *_figures(folder),
        Section("All runs", [_all_runs(runs, found, numbers)]),
        Section("Run it again", _again(folder, runs, seconds)),
    ]
    return Page(folder.resolve().name, "sweep", lead, sections)


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def _settings(groups: Mapping[str, Sequence[LoadedRun]]) -> list[Block]:
    by_name: dict[str, dict[str, Mean]] = {}
    for setting, members in groups.items():
        numbers = [dict(numbers_of(run.summary)) for run in members]
        by_name[setting] = {
            key: mean_of([_number(row.get(key)) * factor for row in numbers])
            for key, (_, factor) in SHOWN.items()
        }
    seen = [key for key in SHOWN if any(row[key].n for row in by_name.values())]
    best = _best(by_name)
    rows = [
        (
            f"{setting}{' ★' * (setting == best)}",
            f"{len(groups[setting]):,}",
            *(_in_words(row[key]) for key in seen),
        )
        for setting, row in by_name.items()
    ]
    caption = "Mean ± half of the 95 % interval; accuracies and shares in percent"
    words = (
        "The oracle reads test labels; a user without clean test labels cannot reach its number."
    )
    if best:
        words = f"★: the highest mean noisy validation accuracy, which a user can measure. {words}"
    return [
        Table(("setting", "runs", *(SHOWN[key][0] for key in seen)), rows, caption),
        Words(words),
    ]


def _in_words(mean: Mean) -> str:
    """A mean with as many digits as its interval needs.

    Example:
        >>> _in_words(mean_of([85.1, 86.2, 85.4])), _in_words(mean_of([3.0]))
        ('85.57 ± 1.41', '3')
    """
    if not mean.n:
        return ""
    if np.isnan(mean.sd):
        return f"{mean.mean:.4g}"
    return f"{mean.mean:,.2f} ± {mean.high - mean.mean:,.2f}"


def _best(rows: Mapping[str, Mapping[str, Mean]]) -> str | None:
    """The setting with the best mean validation accuracy, if all have the same data and noise."""
    known = {
        name: row["final.val/acc"].mean for name, row in rows.items() if row["final.val/acc"].n
    }
    keys = {word.partition("=")[0].split(".")[0] for name in known for word in name.split()}
    if len(known) < 2 or keys & {"data", "noise", "noise_rate"}:
        return None
    return max(known, key=lambda name: known[name])


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _compared(runs: Sequence[LoadedRun]) -> list[Section]:
    """Paired differences between techniques, if the runs have several."""
    names = technique_names([run.config for run in runs])
    values = list(dict.fromkeys(names))
    if len(values) < 2:
        return []
    baseline = "none" if "none" in values else values[0]
    metrics = [m for m in ("final.test/acc",) if any(_has(run, m) for run in runs)]
    try:
        table = paired_differences(runs, names, baseline, metrics or ["final.val/acc"])
    except InputError as error:  # for example no two runs with equal seeds
        return [Section("Techniques compared", [Words(f"No comparison: {error}.")])]
    explained = EXPLANATION.format(baseline=baseline, m=int(table["p"].notna().sum()))
    cells = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    return [
        Section(
            "Techniques compared",
            [
                Words(f"{explained} A difference of 0.01 is one percentage point."),
                Table([*table.columns], cells, f"Difference to {baseline}"),
            ],
        )
    ]


def _has(run: LoadedRun, name: str) -> bool:
    return run.summary["final"].get(name.removeprefix("final.")) is not None


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value)


def _curves(groups: Mapping[str, Sequence[LoadedRun]]) -> list[Section]:
    shown = dict(list(groups.items())[:MOST_CURVES])
    measured = {name for members in shown.values() for run in members for name in run.history.names}
    charts = []
    for metric, (title, label) in CURVES.items():
        if metric not in measured:
            continue
        curves = [
            _banded(setting, i, curve, bands=len(shown) <= MOST_BANDS)
            for i, (setting, members) in enumerate(shown.items())
            if (curve := mean_curve(members, metric))
        ]
        log_x = any(many_decades(np.asarray([*curve.points])) for curve in curves)
        log_y = metric.startswith("coefficients/")
        if curves:
            charts.append(Chart(title, curves, label, log_x=log_x, log_y=log_y))
    words = "Each curve is the mean over the seeds of a setting."
    if len(shown) <= MOST_BANDS:
        words += " The band is its 95 % interval."
    if left := len(groups) - len(shown):
        words += f" The charts leave out {left:,} settings after the first {MOST_CURVES}."
    return [Section("Learning curves", [Words(words), *charts])] if charts else []


def _banded(
    label: str,
    number: int,
    means: Mapping[float, Mean] | Mapping[int, Mean],
    bands: bool = True,
) -> Curve:
    color = CYCLE[number % len(CYCLE)]
    line = {float(x): mean.mean for x, mean in means.items()}
    several = bands and any(mean.n > 1 for mean in means.values())
    low = {float(x): m.low for x, m in means.items()} if several else None
    high = {float(x): m.high for x, m in means.items()} if several else None
    return Curve(label, color, line, dashed=number % 2 == 1, low=low, high=high)


def _against(found: Sequence[Settings], numbers: Sequence[Mapping[str, Any]]) -> list[Section]:
    """Charts of the numbers against each option with at least three numeric values."""
    seedless = without_seeds(found)
    charts: list[Chart] = []
    left = 0
    for option in telling_keys(seedless):
        values = {settings.get(option) for settings in found}
        if len(values) < 3 or not all(_is_number(value) for value in values):
            continue
        for key, (title, factor) in NUMBERS.items():
            known = pd.Series([factor * _number(row.get(key)) for row in numbers], name=key)
            if not known.notna().any():
                continue
            chart = _chart_against(found, known, option, title, factor)
            if chart is None or len(charts) == MOST_CHARTS:
                left += 1
            else:
                charts.append(chart)
    words = "Each point is the mean over the seeds; the band is its 95 % interval."
    if left:
        words += f" The page leaves out {left} charts; `report plot` draws them."
    return [Section("Against the options", [Words(words), *charts])] if charts or left else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _chart_against(
    found: Sequence[Settings], values: pd.Series[float], option: str, title: str, factor: int
) -> Chart | None:
    table = by_options(found, values, [option])
    lines = list(table.groupby("line", sort=False))
    if len(lines) > MOST_CURVES:
        return None
    curves = [
        _banded(
            str(line),
            i,
            {float(str(x)): mean_of(group["value"]) for x, group in rows.groupby(option)},
        )
        for i, (line, rows) in enumerate(lines)
    ]
    x = np.asarray(sorted({float(each) for each in table[option]}))
    log_x = bool(x.min() > 0 and many_decades(x))
    return Chart(title, curves, "percent" if factor == 100 else "step", x_label=option, log_x=log_x)


def _figures(folder: Path) -> list[Section]:
    paths = sorted((folder / "figures").glob("*.png"))
    pictures = [Picture(path, path.stem.replace("_", " ")) for path in paths]
    return [Section("Figures", [], pictures, f"{len(paths)} figures")] if pictures else []


def _all_runs(
    runs: Sequence[LoadedRun], found: Sequence[Settings], numbers: Sequence[Mapping[str, Any]]
) -> Table:
    keys = telling_keys(found, always=("seed",))
    seen = [key for key in SHOWN if any(row.get(key) is not None for row in numbers)]
    rows = [
        (
            run.directory.path.name,
            *(str(settings.get(key, "")) for key in keys),
            *(_cell(_number(row.get(key)) * SHOWN[key][1]) for key in seen),
        )
        for run, settings, row in zip(runs, found, numbers, strict=True)
    ][:MOST_ROWS]
    left = f", the first {MOST_ROWS:,}" if len(runs) > MOST_ROWS else ""
    caption = f"{len(runs):,} runs{left}; runs.csv has every number"
    return Table(
        ("run", *keys, *(SHOWN[key][0] for key in seen)), rows, caption, folded=len(rows) > 30
    )


def _again(folder: Path, runs: Sequence[LoadedRun], seconds: float) -> list[Block]:
    lists = [[str(word) for word in run.summary["overrides"]] for run in runs]
    common = [word for word in lists[0] if all(word in words for words in lists)]
    keys = list(
        dict.fromkeys(w.partition("=")[0] for words in lists for w in words if w not in common)
    )
    values = {
        key: dict.fromkeys(
            w.partition("=")[2] for words in lists for w in words if w.partition("=")[0] == key
        )
        for key in keys
    }
    grid = [f"{key}={_in_short([*found])}" for key, found in values.items()]
    blocks: list[Block] = []
    if len(runs) == int(np.prod([len(found) for found in values.values()])):
        blocks.append(Code(shlex.join(["python", "run.py", "-m", *grid, *common])))
    else:
        blocks.append(Words("The table of all runs has their options; they are no full grid."))
    versions = runs[0].directory.manifest.section("versions")
    same = all(run.directory.manifest.section("versions") == versions for run in runs)
    facts = [("training time, all runs", f"{seconds:,.0f} s")]
    facts += [*versions.items()] if same else [("versions", "differ between the runs")]
    return [*blocks, Facts(facts)]


def _in_short(values: Sequence[str]) -> str:
    """The values of a sweep, as a range if they are consecutive numbers.

    Example:
        >>> _in_short(["0", "1", "2", "3"]), _in_short(["0.1", "0.3"])
        ('range(0,4)', '0.1,0.3')
    """
    numbers = [int(value) for value in values if value.isdigit()]
    if len(numbers) == len(values) > 3 and numbers == [*range(numbers[0], numbers[-1] + 1)]:
        return f"range({numbers[0]},{numbers[-1] + 1})"
    return ",".join(values)

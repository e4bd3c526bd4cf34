"""Pages of runs, sweeps, audits and diagrams: their numbers, their names and their safety."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelnoise.doors.page import report_html
from labelnoise.errors import InputError
from labelnoise.report.html.blocks import Block, Chart, Curve, Facts, Page, Section, Table, Words
from labelnoise.report.html.render import COLORS, render
from labelnoise.report.html.run import events_of, page_of_run
from labelnoise.report.html.sweep import page_of_sweep
from labelnoise.report.loaded import load_run, load_runs
from tests.chromium import chromium, needs_chromium

NASTY = "</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"


def charts_of(page: str) -> list[dict[str, Any]]:
    """The data of the charts in the text of a page."""
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', page, re.S)
    assert found is not None
    return list(json.loads(found[1]))


def nasty_page() -> Page:
    chart = Chart(NASTY, [Curve(NASTY, "clean", {1.0: 0.5, 2.0: 0.25})], NASTY)
    table = Table((NASTY, "b"), [(NASTY, NASTY)], NASTY)
    blocks: list[Block] = [Words(NASTY), Facts([(NASTY, NASTY)]), table, chart]
    return Page(NASTY, "run", [NASTY], [Section(NASTY, blocks, [table], NASTY)])


def test_names_are_text_and_the_page_asks_for_no_other_file() -> None:
    page = render(nasty_page())
    assert "<img src=x" not in page and "{{ 7 * 7 }} (run)</title>" in page
    assert charts_of(page)[0]["series"][0]["label"] == NASTY
    body = re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.S)
    assert not re.search(r'(src|href)="(?!#|data:)', body)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None and "default-src 'none'" in policy[1] and "unsafe" not in policy[1]


def test_a_chart_of_a_run_has_the_values_of_its_metrics(finished_tiny: Any) -> None:
    run = load_run(finished_tiny())
    page = page_of_run(run)
    [chart] = [each for each in page.charts() if each.title == "Test error"]
    steps, accuracy = run.history.series("test/acc")
    assert chart.curves[0].points == pytest.approx(
        dict(zip(steps.tolist(), 1 - accuracy, strict=True))
    )
    drawn = next(each for each in charts_of(render(page)) if each["yLabel"] == "error")
    for step, value in zip(drawn["x"], drawn["series"][0]["y"], strict=True):
        expected = 1 - run.history.at("test/acc", step)
        assert value == pytest.approx(expected, rel=1e-5) if value is not None else expected <= 0


def test_every_metric_of_a_run_is_in_a_chart(finished_tiny: Any) -> None:
    run = load_run(finished_tiny())
    shown = sum(len(chart.curves) for chart in page_of_run(run).charts())
    twice = {"test/acc"}  # as an error only, see the test above
    assert shown == len(set(run.history.names) | twice)


def test_events_of_one_step_share_a_letter() -> None:
    stages = {"clean_fit_step": 8, "crossing_step": 20, "memorized_step": None}
    card = {"oracle_best": {"step": 20}, "val_selected": None}
    events = events_of(
        {
            "stages": {**stages, "dominance_lost_step": None},
            "report_card": card,
            "techniques": {"early_stop": {"selected_step": 30}},
        }
    )
    assert [(step, letter) for step, letter, *_ in events] == [(8, "A"), (20, "B"), (30, "C")]
    assert events[1][2] == "memorization overtakes signal learning; highest test accuracy (oracle)"


def test_the_report_card_has_every_entry_with_the_oracle_apart(finished_tiny: Any) -> None:
    run = load_run(finished_tiny())
    [section] = [s for s in page_of_run(run).sections if s.title == "Which network to report"]
    [table] = [block for block in section.blocks if isinstance(block, Table)]
    card = {k: v for k, v in run.summary["report_card"].items() if v is not None}
    assert len(table.rows) == len(card) and table.apart == 1
    assert "oracle" in table.rows[-1][0]
    shown = table.rows[-1][1].replace("\N{NO-BREAK SPACE}%", "")
    assert float(shown) == pytest.approx(100 * card["oracle_best"]["test_acc"], abs=0.005)


def test_the_means_of_a_sweep_are_those_of_its_runs(run_tiny: Any, tmp_path: Path) -> None:
    words = [(f"noise_rate={r}", f"seed={s}") for r in (0.1, 0.2, 0.3) for s in (0, 1)]
    for number, options in enumerate(words):
        run_tiny(*options, "figures=false", name=f"sweep/{number}")
    runs = load_runs([tmp_path / "sweep"])
    page = page_of_sweep(tmp_path / "sweep", runs)
    [settings] = [s for s in page.sections if s.title == "Settings"]
    table = settings.blocks[0]
    assert isinstance(table, Table) and len(table.rows) == 3
    column = table.header.index("test accuracy, network kept")
    for row, pair in zip(table.rows, (runs[:2], runs[2:4], runs[4:]), strict=True):
        mean = np.mean([100 * run.summary["final"]["test/acc"] for run in pair])
        assert float(row[column].split(" ")[0]) == pytest.approx(mean, abs=0.005)
    [against] = [s for s in page.sections if s.title == "Against the options"]
    first = against.blocks[1]
    assert isinstance(first, Chart) and [*first.curves[0].points] == [0.1, 0.2, 0.3]
    assert "<h2>Settings</h2>" in render(page)


def test_a_page_is_written_at_the_end_of_a_run(run_tiny: Any, tmp_path: Path) -> None:
    run_tiny("report=html", "figures=false", name="a")
    assert "<h2>Curves</h2>" in (tmp_path / "a" / "report.html").read_text()


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="is not the directory of a finished run, a sweep"):
        report_html(tmp_path, None)
    assert [*tmp_path.iterdir()] == [tmp_path / "notes.txt"]


def test_a_diagram_has_its_figure_its_cuts_and_its_command(tmp_path: Path) -> None:
    from labelnoise.phase_diagram.config import compose
    from labelnoise.phase_diagram.page import page_of_diagram
    from labelnoise.phase_diagram.run import phase_diagram
    from tests.phase_diagram.conftest import SMALL

    def draw(*words: str) -> dict[str, Any]:
        return phase_diagram(compose([*words, f"output_dir={tmp_path}", "name=d"]), tmp_path / "d")

    draw(*SMALL)
    page = page_of_diagram(tmp_path / "d")
    with np.load(tmp_path / "d" / "diagram.npz") as arrays:
        values, x = arrays["test_error"][0], arrays["x"]
    along_x = page.charts()[0]
    assert [*along_x.curves[0].points] == pytest.approx(x.tolist())
    assert [*along_x.curves[0].points.values()] == pytest.approx(values[0].mean(1).tolist())
    assert "data:image/png;base64" in render(page)
    [again] = [s for s in page.sections if s.title == "Run it again"]
    import shlex

    command = shlex.split(again.blocks[0].text)  # type: ignore[union-attr]
    before = (tmp_path / "d" / "diagram.npz").read_bytes()
    outcome = draw(*command[2:-1])
    assert outcome["cells"] == 12 and (tmp_path / "d" / "diagram.npz").read_bytes() == before


def test_an_audit_shows_its_estimates(tmp_path: Path) -> None:
    from labelnoise.audit.audit import audit
    from labelnoise.audit.config import compose
    from labelnoise.audit.page import page_of_audit
    from tests.audit.test_predictions import words

    (tmp_path / "files").mkdir()
    options = [*words(tmp_path / "files"), f"output_dir={tmp_path}", "name=a", "report=html"]
    found = audit(compose(options), None, options)
    page = page_of_audit(tmp_path / "a")
    assert f"{100 * found['noise_rate']:.2f}" in page.lead[1]
    text = (tmp_path / "a" / "report.html").read_text()
    assert "The predictions came from a file." in text and "Largest confusions" in text


def test_a_light_page_has_the_colours_of_the_figures() -> None:
    page = render(Page("a", "run", []))
    assert all(f"--{name}: {color};" in page for name, color in COLORS.items())


@needs_chromium
@pytest.mark.slow
def test_the_slider_moves_all_charts(finished_tiny: Callable[..., Path], tmp_path: Path) -> None:
    run = load_run(finished_tiny())
    (tmp_path / "report.html").write_text(render(page_of_run(run)))
    with chromium(tmp_path / "profile") as tab:
        tab.open(tmp_path / "report.html")
        charts = len(page_of_run(run).sections[1].blocks) - 1  # without the hint
        assert tab.get("document.querySelectorAll('.uplot').length") == charts
        tab.get("{const i = document.querySelector('#step'); i.value = 2; "
                "i.dispatchEvent(new Event('input')); 1}")  # fmt: skip
        shown = tab.get("document.querySelector('output').textContent")
        step = int(shown.rsplit(" ", 1)[1].replace(",", ""))
        value = tab.get("document.querySelectorAll('.legend b')[0].textContent")
        assert float(value) == pytest.approx(
            run.history.at("coefficients/gamma_max", step), rel=1e-3
        )
        tab.get("document.querySelectorAll('details').forEach(d => d.open = true); 1")
        all_charts = tab.get("document.querySelectorAll('.chart').length")
        tab.wait(f"document.querySelectorAll('.uplot').length === {all_charts}")
        assert tab.problems == []

"""If the true labels are unknown, no output mentions clean and noisy samples."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from labelnoise.attribution.maps import explain_run
from labelnoise.config.composition import compose
from labelnoise.data.batch import Batch, Split
from labelnoise.errors import InputError
from labelnoise.noise import NoiseRecord
from labelnoise.noise.truth import UnknownTruth
from labelnoise.report.loaded import load_run
from labelnoise.report.pictures.run import report_figures
from labelnoise.report.tables.comparison import report_comparison
from labelnoise.report.tables.suspects import report_suspects
from labelnoise.sweeps.report import report_sweep
from labelnoise.training.train import train
from tests.conftest import TINY_IMAGES, Kill, but_slow
from tests.techniques.test_resume import AT_WORK, CASES, NAMES, assert_equal, fit

# Words that tell clean from noisy samples, or judge by the true labels.
SPEAKS = re.compile(
    r"clean|noisy|label noise|labels wrong|memoriz|corrected|dominance|\bprecision|\brecall|\bf1\b"
    r"|\bauc|_auc|oracle knowledge|wrong_(?!events)|no label of",
    re.IGNORECASE,
)
PER_CLASS, WRONG = 30, 12  # 40 % of the labels are wrong
WATCH = "monitor=[memorization,dynamics,curvature,features]"


@pytest.fixture(scope="session")
def wrong_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the first 12 of 30 training images of each class show the other class.

    ``labels.csv`` beside it has the right labels: a list that somebody corrected.
    """
    root = tmp_path_factory.mktemp("wrong")
    rng = np.random.default_rng(0)
    rows = ["file,label"]
    for part, count, wrong in (("train", PER_CLASS, WRONG), ("test", 10, 0)):
        for name, other in (("a", "b"), ("b", "a")):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                shown = other if i < wrong else name
                pixels = rng.normal(100 if shown == "a" else 150, 30, (8, 8, 3)).clip(0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(root / part / name / f"{i:02}.png")
                if part == "train":
                    rows.append(f"{name}/{i:02}.png,{shown}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


RunWrong = Callable[..., dict[str, Any]]


@pytest.fixture
def run_wrong(tmp_path: Path, wrong_root: Path) -> RunWrong:
    def run(*overrides: str, name: str = "run") -> dict[str, Any]:
        cfg = compose([*TINY_IMAGES, f"data.root={wrong_root}", "noise=none", *overrides])
        return train(cfg, tmp_path / name, ["noise=none", *overrides])

    return run


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text of every figure that is saved."""
    texts: list[str] = []
    original = Figure.savefig

    def savefig(figure: Figure, *args: Any, **options: Any) -> None:
        texts.extend(text.get_text() for text in figure.findobj(Text))
        original(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return texts


def said(value: Any, where: str = "") -> Iterator[str]:
    """The keys of all values that are not null, and the texts among them."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from said(item, f"{where}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from said(item, where)
    elif value is not None:
        yield where
        if isinstance(value, str):
            yield value


def tensorboard_words(folder: Path) -> list[str]:
    """Tags, and the titles of charts with their metrics."""
    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()
    words = [tag for kind in tags.values() if isinstance(kind, list) for tag in kind]
    layout = layout_pb2.Layout()
    layout.ParseFromString(
        events.Tensors("custom_scalars__config__")[-1].tensor_proto.string_val[0]
    )
    for category in layout.category:
        words.append(category.title)
        for chart in category.chart:
            words += [chart.title, *chart.multiline.tag]
    session = plugin_data_pb2.HParamsPluginData()
    metadata = events.SummaryMetadata("_hparams_/session_start_info")
    session.ParseFromString(metadata.plugin_data.content)
    # Hyperparameters are choices and options, not results.
    assert "noise_rate" not in session.session_start_info.hparams
    return words


def nothing_said(words: list[str]) -> None:
    assert words
    assert [word for word in words if SPEAKS.search(word)] == []


@pytest.mark.parametrize("labels", but_slow(False, True))
def test_a_run_says_nothing_of_clean_and_noisy_samples(
    run_wrong: RunWrong,
    tmp_path: Path,
    wrong_root: Path,
    drawn: list[str],
    capsys: pytest.CaptureFixture[str],
    labels: bool,
) -> None:
    words = [f"data.labels={wrong_root}/labels.csv"] if labels else []
    summary = run_wrong(
        WATCH, "logger=tensorboard", "trainer.enable_progress_bar=true", *words, "max_epochs=4",
        "figures=true",
    )  # fmt: skip
    run = tmp_path / "run"
    nothing_said((run / "metrics.csv").read_text().splitlines()[0].split(","))
    nothing_said((run / "suspects.csv").read_text().splitlines()[0].split(","))
    nothing_said((run / "run.log").read_text().splitlines())
    written = json.loads((run / "summary.json").read_text())
    del written["overrides"]  # what was typed, with a monitor's name
    nothing_said([*said(written)])
    nothing_said(capsys.readouterr().out.splitlines())
    nothing_said(drawn)
    nothing_said(tensorboard_words(run / "tensorboard"))
    noise = summary["noise"]
    assert (noise["kind"], noise["truth"]) == ("csv" if labels else "none", "unknown")
    for key in ("rate_requested", "rate_realised", "per_class_rates", "transition_matrix",
                "matrix_requested"):  # fmt: skip
        assert noise[key] is None, key
    assert summary["stages"] == dict.fromkeys(summary["stages"])
    assert summary["test_labels"] == "given"
    assert summary["suspects"]["listed"] == 54 and summary["suspects"]["auc"] is None
    for key in ("train/acc_clean", "train/acc_noisy", "train/wrong_memorized",
                "test/acc_noisy_labels"):  # fmt: skip
        assert summary["final"][key] is None, key
    assert 0 < summary["final"]["train/acc"] <= 1 and 0 < summary["final"]["test/acc"] <= 1
    assert "labels as given, truth unknown" in drawn
    with np.load(run / "noise.npz") as arrays:
        assert "clean_label" not in arrays and arrays["truth"] == "unknown"
    with np.load(run / "dynamics" / "samples.npz") as arrays:
        assert "clean_label" not in arrays


@pytest.mark.slow
def test_reports_on_such_runs_say_nothing_either(
    run_wrong: RunWrong, tmp_path: Path, drawn: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for job, rate in enumerate((0.1, 0.05)):
        run_wrong(WATCH, f"optimizer.lr={rate}", name=f"sweep/{job}")
    run_wrong(WATCH, "technique=stochastic_reset", name="sweep/2")
    capsys.readouterr()
    report_sweep(tmp_path / "sweep")
    nothing_said(capsys.readouterr().out.splitlines())
    drawn_by_sweep = len(drawn)
    text = report_comparison([tmp_path / "sweep"])
    assert "given test labels" in text
    nothing_said([word for word in text.splitlines() if "knows" not in word])
    report_figures(tmp_path / "sweep" / "0")
    assert len(drawn) > drawn_by_sweep
    nothing_said(drawn)
    nothing_said(report_suspects(tmp_path / "sweep" / "0").splitlines())
    dynamics = load_run(tmp_path / "sweep" / "0").dynamics()
    assert not dynamics.truth_known
    with pytest.raises(UnknownTruth):
        _ = dynamics.is_noisy
    with pytest.raises(UnknownTruth):
        _ = dynamics.clean_label


# Techniques that do nothing with their defaults, or need a number that these data do not have.
OPTIONS = {
    # Not before the run is killed.
    "early_stop": ("technique.early_stop.patience=3", "max_epochs=6"),
    "co_teaching": ("technique.co_teaching.forget_rate=0.2",),
    "jocor": ("technique.jocor.forget_rate=0.2",),
    "neighbour_trust": ("technique.neighbour_trust.warmup_epochs=1",),
}


def words_for(name: str) -> tuple[str, ...]:
    return ("noise=none", f"technique={name}", *AT_WORK.get(name, ()), *OPTIONS.get(name, ()))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_technique_is_resumed_on_such_data(
    name: str, wrong_root: Path, tmp_path: Path, killed_at: Kill
) -> None:
    whole = fit(words_for(name), tmp_path / "whole", wrong_root)
    with killed_at(13):
        fit(words_for(name), tmp_path / "cut", wrong_root)
    assert_equal(whole, fit(words_for(name), tmp_path / "cut", wrong_root), name)


@pytest.mark.parametrize("name", CASES)
def test_every_technique_trains_on_such_data(name: str, wrong_root: Path, tmp_path: Path) -> None:
    whole = fit(("max_epochs=2", *words_for(name)), tmp_path / "whole", wrong_root)
    nothing_said([word for row in whole["history"].values() for word in row])
    nothing_said([*said(whole["reports"])] or ["nothing"])


def test_a_whole_run_is_resumed_bit_for_bit(
    run_wrong: RunWrong, tmp_path: Path, killed_at: Any
) -> None:
    words = (WATCH, "technique=sample_selection", "technique.sample_selection.warmup_epochs=1")
    whole = run_wrong(*words, name="whole")
    with killed_at(13):
        run_wrong(*words, name="cut")
    cut = run_wrong(*words, name="cut")
    for summary in (whole, cut):
        del summary["seconds"]
    assert whole == cut
    for file in ("metrics.csv", "suspects.csv", "dynamics/loss.npy", "dynamics/margin.npy"):
        first, second = (tmp_path / name / file for name in ("whole", "cut"))
        assert first.read_bytes() == second.read_bytes(), file


@pytest.mark.parametrize("rule", ["log2", "gmm", "aum", "confident_learning"])
def test_a_selection_says_what_it_kept_and_not_how_well(run_wrong: RunWrong, rule: str) -> None:
    prefix = "technique.sample_selection"
    summary = run_wrong(
        "technique=sample_selection", f"{prefix}.rule={rule}", f"{prefix}.warmup_epochs=2"
    )
    first = summary["selection"]["first"]
    assert 0 < first["kept"] <= 54 == first["kept"] + round(54 * (1 - first["kept"] / 54))
    assert 0 <= first["noise_rate_estimate"] < 1
    for key in ("precision", "recall", "f1", "auc", "noise_rate"):
        assert first[key] is None, key
    per_class = first["per_class"]
    assert sum(per_class["kept"]) == first["kept"]
    assert per_class["precision"] is None and per_class["recall"] is None


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("monitor=[memorization,gradients]",), "monitor=gradients needs the true labels"),
        (
            ("technique=sample_selection", "technique.sample_selection.rule=oracle"),
            "technique=sample_selection needs the true labels",
        ),
        (
            ("technique=forward_correction", "technique.forward_correction.matrix=record"),
            "technique=forward_correction needs the transition matrix from the true labels",
        ),
        (
            ("technique=early_stop", "technique.early_stop.trigger=dominance"),
            "technique=early_stop needs the true labels",
        ),
        (("data.truth=people",), "data.truth must be one of unknown, folders, got people"),
    ],
)
def test_what_needs_the_truth_is_refused_in_one_line(
    run_wrong: RunWrong, tmp_path: Path, words: tuple[str, ...], named: str
) -> None:
    with pytest.raises(InputError) as error:
        run_wrong(*words)
    message = str(error.value)
    assert message.startswith(named) and "\n" not in message and "folders" in message
    assert not (tmp_path / "run").exists(), "nothing is left behind"
    if "truth" in named:
        return
    known = (f"data.labels={csv_of_swaps(tmp_path)}", "data.truth=folders")
    run_wrong(*words, "monitor=[memorization,gradients]", *known)


def csv_of_swaps(folder: Path) -> Path:
    """Given labels that differ from the folders' names at 12 of 30 images of each class."""
    rows = [
        f"{name}/{i:02}.png,{other if i < WRONG else name}"
        for name, other in (("a", "b"), ("b", "a"))
        for i in range(PER_CLASS)
    ]
    path = folder / "swapped.csv"
    path.write_text("\n".join(["file,label", *rows]) + "\n")
    return path


def test_folders_as_truth_give_rates_accuracies_and_scores(
    run_wrong: RunWrong, tmp_path: Path
) -> None:
    summary = run_wrong(f"data.labels={csv_of_swaps(tmp_path)}", "data.truth=folders")
    noise = summary["noise"]
    assert (noise["kind"], noise["truth"], noise["rate_realised"]) == ("csv", "given", 0.4)
    assert noise["per_class_rates"] == [0.4, 0.4]
    assert noise["transition_matrix"] == [[0.6, 0.4], [0.4, 0.6]]
    final = summary["final"]
    noisy = 1 - (final["train/clean_correct"] + final["train/clean_incorrect"])
    assert noisy == pytest.approx(0.4, abs=0.1)  # of the 54 that are trained on
    assert None not in (final["train/acc_clean"], final["train/acc_noisy"])
    assert set(summary["suspects"]["auc"]) >= {"loss", "aum"}
    assert summary["test_labels"] == "clean" and final["test/acc_noisy_labels"] is not None
    assert "true_label" in (tmp_path / "run" / "suspects.csv").read_text().splitlines()[0]
    clean = run_wrong("data.truth=folders", name="clean")
    assert (clean["noise"]["truth"], clean["noise"]["rate_realised"]) == ("made", 0.0)


@pytest.mark.parametrize(
    ("words", "truth"),
    [
        (("noise=symmetric", "noise_rate=0.2"), "made"),
        (("noise=symmetric", "noise_rate=0"), "unknown"),
        (("noise=class_conditional", "noise_rate=0"), "unknown"),
        (("noise=instance", "noise_rate=0"), "unknown"),
    ],
)
def test_flips_of_ours_are_known_and_no_flip_tells_nothing(
    run_wrong: RunWrong, words: tuple[str, ...], truth: str
) -> None:
    noise = run_wrong(*words, "monitor=none")["noise"]
    assert noise["truth"] == truth
    assert noise["rate_realised"] == (0.2 if truth == "made" else None)


@pytest.mark.parametrize("columns", [("clean", "people"), ("people",)])
def test_peoples_labels_are_judged_where_their_file_has_true_ones(
    run_wrong: RunWrong, tmp_path: Path, columns: tuple[str, ...]
) -> None:
    folders = np.repeat([0, 1], PER_CLASS)
    people = folders ^ (np.arange(2 * PER_CLASS) % 10 == 0)
    arrays = {"clean": folders, "people": people}
    np.savez(tmp_path / "labels.npz", **{name: arrays[name] for name in columns})
    human = ("noise=human", f"noise.path={tmp_path}/labels.npz", "noise.column=people")
    summary = run_wrong(*human, "monitor=none")
    known = "clean" in columns
    assert summary["noise"]["truth"] == ("given" if known else "unknown")
    assert summary["noise"]["rate_realised"] == (0.1 if known else None)
    assert summary["test_labels"] == ("clean" if known else "given")
    twin = run_wrong(*(word.replace("=human", "=human_twin") for word in human), name="twin")
    assert (twin["noise"]["truth"], twin["noise"]["rate_realised"]) == ("made", 0.1)
    trusted = run_wrong(*human, "data.truth=folders", "monitor=none", name="trusted")
    assert (trusted["noise"]["truth"], trusted["noise"]["rate_realised"]) == ("given", 0.1)


def test_neither_attribution_nor_a_repeated_record_takes_such_a_run(
    run_wrong: RunWrong, tmp_path: Path
) -> None:
    run_wrong("monitor=none")
    with pytest.raises(InputError, match="true labels of .* are unknown") as error:
        explain_run(tmp_path / "run", samples=2, background=2)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="has no true labels.*noise=none"):
        run_wrong("noise=file", f"noise.path={tmp_path}/run/noise.npz", name="again")


def test_clean_labels_that_are_not_known_cannot_be_asked_for() -> None:
    label = torch.tensor([0, 1, 1])
    split = Split(torch.zeros(3, 2), label, None, torch.arange(3))
    parts = (split, split.subset(torch.tensor([2, 0])), split.to(torch.device("meta")))
    everything: list[Split | Batch] = [*parts, split.batch(), *split.batches(2)]
    for part in everything:
        assert not part.truth_known
        with pytest.raises(UnknownTruth, match="unknown"):
            _ = part.clean_label
    with pytest.raises(UnknownTruth):
        _ = split.is_noisy
    record = NoiseRecord("none", None, None, None, None, label, 2, truth="unknown")
    with pytest.raises(UnknownTruth):
        _ = record.is_noisy
    assert record.fingerprint != NoiseRecord("none", 0, 0.0, None, label, label, 2).fingerprint


@pytest.mark.slow
def test_two_processes_train_on_such_data_as_one(run_wrong: RunWrong, tmp_path: Path) -> None:
    options = ("technique=co_teaching", "technique.co_teaching.forget_rate=0.2", "model.filters=8")
    alone = run_wrong(*options, name="one")
    two = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "batch_size=5")
    both = run_wrong(*options, *two, name="two")
    assert both["step"] == alone["step"] and both["noise"] == alone["noise"]
    for key, value in alone["final"].items():
        assert both["final"][key] == (None if value is None else pytest.approx(value, abs=1e-4))
    ours, theirs = (load_run(tmp_path / name).history for name in ("two", "one"))
    assert ours.names == theirs.names
    nothing_said(ours.names)

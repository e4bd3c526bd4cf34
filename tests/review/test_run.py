"""The review sheet of a run: its samples, pictures and evidence; and its refusals."""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelnoise.config.composition import compose
from labelnoise.errors import InputError
from labelnoise.files.tables import read_rows, write_rows
from labelnoise.report.tables.suspects import report_suspects
from labelnoise.review.page import render, report_review
from labelnoise.review.run import sheet_of_run
from labelnoise.run_directory import RunDirectory
from labelnoise.training.train import train
from tests.chromium import chromium, needs_chromium
from tests.conftest import TINY_IMAGES, Run


@pytest.fixture(scope="module")
def reviewed(image_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run on 54 images of 8 x 8 pixels, about 20 % of them with wrong labels."""
    path = tmp_path_factory.mktemp("runs") / "run"
    root = tmp_path_factory.mktemp("copy") / "images"
    shutil.copytree(image_root, root)
    train(compose([*TINY_IMAGES, f"data.root={root}"]), path)
    return path


def test_the_sheet_shows_the_samples_of_the_ranking(reviewed: Path) -> None:
    sheet = sheet_of_run(reviewed, top=7)
    rows = read_rows(reviewed / "suspects.csv")
    assert [s.name for s in sheet.suspects] == [row["sample"] for row in rows[:7]]
    assert sheet.listed == 54 and len(sheet_of_run(reviewed, top=100).suspects) == 54
    loss = np.load(reviewed / "dynamics" / "loss.npy")
    with np.load(reviewed / "dynamics" / "samples.npz") as samples:
        column = samples["name"].tolist().index(rows[3]["sample"])
    np.testing.assert_allclose(sheet.suspects[3].losses, loss[:, column])
    np.testing.assert_allclose(sheet.typical, np.median(loss, axis=1))
    shown = {score.name: score for score in sheet.suspects[3].scores}
    aums = sorted(float(row["aum"]) for row in rows)
    assert shown["aum"].value == float(rows[3]["aum"])
    assert shown["aum"].bar == pytest.approx(aums.index(shown["aum"].value) / 53)


@pytest.mark.parametrize("score", ["margin_loss", "loss", "low_confidence"])
def test_the_score_of_the_rank_leads(reviewed: Path, tmp_path: Path, score: str) -> None:
    shutil.copytree(reviewed, tmp_path / "run")
    report_suspects(tmp_path / "run", score)
    sheet = sheet_of_run(tmp_path / "run")
    assert sheet.ranked_by == score and sheet.grouped
    assert {suspect.scores[0].name for suspect in sheet.suspects} == {score}
    page = " ".join(render(sheet).split())
    assert f"sorted by the first score, {score.replace('_', ' ')}. Samples with another" in page


def root_of(run: Path) -> Path:
    return Path(str(RunDirectory(run).read_config().data.root))


def test_the_pictures_are_those_of_the_files(reviewed: Path) -> None:
    suspect = sheet_of_run(reviewed, top=1).suspects[0]
    assert suspect.picture is not None
    shown = Image.open(io.BytesIO(base64.b64decode(suspect.picture.partition(",")[2])))
    original = Image.open(root_of(reviewed) / suspect.name)
    assert shown.size == (160, 160)  # larger than the input of the network, for people
    small = np.asarray(shown.resize((8, 8)), dtype=float)
    assert np.corrcoef(small.ravel(), np.asarray(original, dtype=float).ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample": "train/a/x.png"}, "ranks 'train/a/x.png', which is not in its data"),
        ({"given_label": "c"}, "with the label 'c', but the data give it"),
        ({"suggested_label": "c"}, "suggests 'c' for .*, but the classes are a, b"),
    ],
)
def test_a_ranking_of_other_data_is_refused(
    reviewed: Path, tmp_path: Path, change: dict, message: str
) -> None:
    shutil.copytree(reviewed, tmp_path / "run")
    rows = read_rows(reviewed / "suspects.csv")
    write_rows(tmp_path / "run" / "suspects.csv", list(rows[0]), [rows[0] | change, *rows[1:]])
    with pytest.raises(InputError, match=message):
        sheet_of_run(tmp_path / "run")


def test_data_that_changed_since_the_run_are_refused(
    run_images: Run, image_root: Path, tmp_path: Path
) -> None:
    root = tmp_path / "images"
    shutil.copytree(image_root, root)
    run_images(f"data.root={root}", "max_epochs=1")
    (root / "train" / "a" / "00.png").touch()
    with pytest.raises(InputError, match="the files of data.root have changed since"):
        report_review(tmp_path / "run")
    (tmp_path / "run" / "suspects.csv").unlink()
    with pytest.raises(InputError, match="has no suspects.csv: train with monitor="):
        report_review(tmp_path / "run")
    with pytest.raises(InputError, match="--top must be a whole number"):
        report_review(tmp_path / "run", top=0)


def test_drawn_samples_are_shown_by_their_values(run_tiny: Run, tmp_path: Path) -> None:
    run_tiny("monitor=[memorization,dynamics]", "max_steps=20")
    sheet = sheet_of_run(tmp_path / "run", top=2)
    assert not sheet.correctable and sheet.suspects[0].picture is None
    (first, second) = sheet.suspects[0].values
    assert first[0] == "patch 1" and second[1].endswith("and 52 more")


@needs_chromium
@pytest.mark.slow
def test_from_the_keys_to_other_labels_in_a_run(
    reviewed: Path, tmp_path: Path, run_images: Run
) -> None:
    report_review(reviewed)
    with chromium(tmp_path / "profile") as tab:
        tab.save_to(tmp_path)
        tab.open(reviewed / "review.html")
        tab.press("ArrowRight", "c", "k", "d")
        tab.click("#save")
        file = tmp_path / "corrections.csv"
        for _ in range(500):
            if file.exists():
                break
            tab.get("new Promise((done) => setTimeout(done, 20))")
        assert tab.problems == []
    rows = read_rows(reviewed / "suspects.csv")
    summary = run_images(f"data.root={root_of(reviewed)}", f"data.corrections={file}")
    assert summary["corrections"] == {
        "files": [str(file)], "changed": 1, "dropped": 1, "kept": 1
    }  # fmt: skip
    label = {
        row["sample"]: row["given_label"] for row in read_rows(tmp_path / "run" / "suspects.csv")
    }
    assert label[rows[0]["sample"]] == rows[0]["suggested_label"] != rows[0]["given_label"]
    assert label[rows[1]["sample"]] == rows[1]["given_label"]
    assert rows[2]["sample"] not in label and len(label) == 53

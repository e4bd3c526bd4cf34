"""Where a noise rate is from: the run's own label noise, an estimate, or a number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from labelnoise.config import CONF_DIR
from labelnoise.config.command_line import explain
from labelnoise.config.composition import compose
from labelnoise.data.module import NoisyLabelDataModule
from labelnoise.errors import InputError
from labelnoise.learner.history import History
from labelnoise.noise import CIFAR10_CLASSES, AsymmetricNoise, CleanSplit
from labelnoise.techniques.noise_rate import MADE, noise_rate_of
from labelnoise.training.building import build_techniques
from tests.conftest import Kill, Run, but_slow

SELECT = "technique.sample_selection"
RULE = ("technique=sample_selection", f"{SELECT}.warmup_epochs=1", f"{SELECT}.start_step=6")
# Words that choose a technique that reads a rate, and the option that holds it.
READERS = {
    "co_teaching": (("technique=co_teaching",), "technique.co_teaching.forget_rate"),
    "jocor": (("technique=jocor",), "technique.jocor.forget_rate"),
    "keep_rate": ((*RULE, f"{SELECT}.rule=keep_rate"), f"{SELECT}.noise_rate"),
    "random": ((*RULE, f"{SELECT}.rule=random"), f"{SELECT}.noise_rate"),
}


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for value in node:
            yield from leaves(value, path)
    else:
        yield path, node


def test_only_the_kinds_of_noise_read_the_noise_rate_of_the_command_line() -> None:
    files = sorted(CONF_DIR.rglob("*.yaml"))
    assert len(files) > 80
    readers = {
        str(file.relative_to(CONF_DIR).with_suffix(""))
        for file in files
        for _, value in leaves(OmegaConf.to_container(OmegaConf.load(file), resolve=False))
        if re.search(r"\$\{\.*noise_rate\b", str(value))
    }
    kinds = ("symmetric", "pairflip", "asymmetric", "class_conditional", "instance")
    assert readers == {f"noise/{kind}" for kind in kinds}


def test_every_rate_of_a_technique_has_a_source() -> None:
    """Every option for a noise rate is null in the files and in all presets."""
    others = {"stochastic_reset.reset_learning_rate"}
    asked_for = {option.removeprefix("technique.") for _, option in READERS.values()}
    found = set()
    names = sorted(p.stem for p in (CONF_DIR / "technique").glob("*.yaml") if p.stem != "none")
    readers = {"co_teaching", "jocor", "sample_selection"}
    for preset in sorted((CONF_DIR / "technique_preset").glob("*.yaml")):
        for chosen in (f"[{','.join(names)}]", *readers):
            cfg = compose([f"technique={chosen}", f"technique_preset={preset.stem}"])
            plain = OmegaConf.to_container(cfg.technique, resolve=True)
            for option, value in leaves(plain):
                if "rate" in option.rpartition(".")[2].split("_") and option not in others:
                    assert value is None, f"{option} is {value} with technique_preset={preset.stem}"
                    found.add(option)
    assert found == asked_for


class Labels(NoisyLabelDataModule):
    """Nothing but a noise record."""


def test_null_is_the_share_of_all_labels_that_is_wrong_whatever_was_asked_for() -> None:
    data = Labels()
    clean = torch.arange(10).repeat(1000)
    data.noise_record = AsymmetricNoise(0.4).draw(
        CleanSplit(clean, 10, class_names=CIFAR10_CLASSES)
    )
    rate = noise_rate_of("forget_rate", None, data)
    assert rate == data.noise_record.rate_realised == pytest.approx(0.2, abs=0.01)
    assert noise_rate_of("forget_rate", 0.3, data) == 0.3
    assert noise_rate_of("forget_rate", "estimate", data) is None


@pytest.mark.parametrize("technique", ["co_teaching", "jocor"])
def test_two_networks_leave_out_the_realised_rate(
    run_tiny: Run, tmp_path: Path, technique: str
) -> None:
    """With flips of one class alone the realised rate is far from noise_rate."""
    one_sided = ("noise=class_conditional", "noise.tau_plus=0.3", "noise.tau_minus=0")
    options = (f"technique={technique}", f"technique.{technique}.warmup_epochs=1")
    summary = run_tiny(*options, *one_sided, "data.n=60", "data.d=100", "max_steps=12")
    realised = summary["noise"]["rate_realised"]
    report = summary["techniques"][technique]
    assert 0.05 < realised != 0.2
    assert report["forget_rate"] == realised and report["forget_rate_from"] == "the run's noise"
    assert report["keep_share"] == pytest.approx(1 - realised)
    assert summary["oracle_knowledge"] == ["noise rate"]


@pytest.mark.parametrize("rule", ["keep_rate", "random"])
def test_rules_keep_what_the_realised_rate_leaves(run_tiny: Run, rule: str) -> None:
    words, _ = READERS[rule]
    one_sided = ("noise=class_conditional", "noise.tau_plus=0.3", "noise.tau_minus=0")
    summary = run_tiny(*words, *one_sided, "data.n=60", "data.d=100", "max_steps=12")
    realised = summary["noise"]["rate_realised"]
    assert realised != 0.2
    assert summary["selection"]["first"]["kept"] == round((1 - realised) * 60)
    assert summary["oracle_knowledge"] == ["noise rate"]


@pytest.mark.parametrize("reader", [*READERS])
def test_without_label_noise_every_sample_is_kept(
    run_tiny: Run, tmp_path: Path, reader: str
) -> None:
    words, option = READERS[reader]
    summary = run_tiny(*words, "noise=none", "max_steps=12")
    (report,) = summary["techniques"].values()
    assert report.get("keep_share", 1.0) == 1.0
    assert report.get("first", {"kept": 20})["kept"] == 20
    assert f"{option} is 0 because no label is wrong" in (tmp_path / "run" / "run.log").read_text()


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """People's labels of the image folder's 60 training images, every fifth of them wrong."""
    clean = np.repeat([0, 1], 30)
    worse = np.where(np.arange(60) % 5 == 0, 1 - clean, clean)
    np.savez(tmp_path / "people.npz", clean=clean, worse=worse)
    return tmp_path / "people.npz"


@pytest.mark.parametrize("reader", but_slow(*READERS, fast=1))
def test_labels_that_were_given_have_no_rate_unless_one_is_written(
    run_images: Run, people: Path, tmp_path: Path, reader: str
) -> None:
    words, option = READERS[reader]
    human = ("noise=human", f"noise.path={people}", "max_epochs=2")
    with pytest.raises(InputError) as refused:
        run_images(*words, *human, name="refused")
    assert str(refused.value).startswith(f"{option} is null")
    assert f"{option}=0.2" in str(refused.value) and f"{option}=estimate" in str(refused.value)
    assert "\n" not in str(refused.value) and not (tmp_path / "refused").exists()

    typed = run_images(*words, *human, f"{option}=0.3", name="typed")
    assert typed["oracle_knowledge"] == ["noise rate"]
    estimated = run_images(*words, *human, f"{option}=estimate", name="estimated")
    assert estimated["oracle_knowledge"] == []


def test_what_is_made_by_the_run_and_what_is_not(
    run_images: Run, people: Path, image_root: Path, tmp_path: Path
) -> None:
    co_teaching = ("technique=co_teaching", "max_epochs=1")
    twin = run_images(
        *co_teaching, "noise=human_twin", f"noise.path={people}", "noise_rate=0.4", name="twin"
    )
    assert twin["techniques"]["co_teaching"]["forget_rate"] == twin["noise"]["rate_realised"] == 0.2
    files = sorted((image_root / "train").rglob("*.png"))
    table = tmp_path / "labels.csv"
    rows = [f"{p.parent.name}/{p.name},{'ab'[i % 2]}" for i, p in enumerate(files)]
    table.write_text("\n".join(["file,label", *rows]))
    given = {
        "own": ("noise=none",),
        "csv": ("noise=none", f"data.labels={table}"),
        "file": ("noise=file", f"noise.path={tmp_path / 'twin' / 'noise.npz'}"),
    }
    for name, words in given.items():
        with pytest.raises(InputError, match="forget_rate is null"):
            run_images(*co_teaching, *words, name=name)


def test_every_kind_of_noise_is_made_here_or_given() -> None:
    kinds = {path.stem for path in (CONF_DIR / "noise").glob("*.yaml")}
    assert kinds - MADE == {"human", "file"}


@pytest.mark.parametrize("reader", [*READERS])
@pytest.mark.parametrize("value", ["guess", "1.0", "-0.1", "nan"])
def test_other_values_are_refused(reader: str, value: str) -> None:
    words, option = READERS[reader]
    with pytest.raises(Exception) as refused:
        build_techniques(compose([*words, f"{option}={value}"]))
    line = explain(refused.value) or ""
    assert f"{option} must be a number from 0 to below 1, estimate or null, got {value}" in line


# The signal is learned at once and wrong labels are memorized much later.
EASY = ("data.n_snr_squared=50", "noise_rate=0.3", "data.n=100", "data.d=400", "model.filters=8")


@pytest.mark.parametrize("technique", ["co_teaching", "jocor"])
@pytest.mark.slow
def test_an_estimate_is_near_the_truth_that_it_is_not_told(
    run_tiny: Run, tmp_path: Path, technique: str
) -> None:
    option = f"technique.{technique}"
    words = (f"technique={technique}", f"{option}.forget_rate=estimate")
    summary = run_tiny(*words, *EASY, f"{option}.warmup_epochs=20", "log_every_n_steps=1")
    report = summary["techniques"][technique]
    assert report["forget_rate"] == pytest.approx(0.3, abs=0.06)
    assert report["forget_rate_from"] == "estimate" and summary["oracle_knowledge"] == []
    history = History.read_csv(tmp_path / "run" / "metrics.csv")
    share = dict(zip(*history.series("selection/keep_share"), strict=True))
    assert share[1] == 1.0  # before the first pass there is nothing to estimate from
    assert {share[step] for step in range(21, 61)} == {1 - report["forget_rate"]}


@pytest.mark.parametrize("rule", ["keep_rate", "random"])
def test_rules_estimate_when_they_select(run_tiny: Run, rule: str) -> None:
    words = ("technique=sample_selection", f"{SELECT}.rule={rule}", f"{SELECT}.start_step=5")
    estimate = (f"{SELECT}.noise_rate=estimate", "max_steps=12")
    first = run_tiny(*words, *estimate, *EASY)["selection"]["first"]
    assert first["kept"] == pytest.approx(70, abs=6)
    assert first["noise_rate_estimate"] == pytest.approx(1 - first["kept"] / 100)


@pytest.mark.parametrize("step", [28, 45])
@pytest.mark.parametrize("technique", but_slow("co_teaching", "jocor"))
@pytest.mark.slow
def test_a_resumed_run_keeps_its_estimate(
    run_tiny: Run, killed_at: Kill, technique: str, step: int
) -> None:
    """Killed while the rate is still estimated and after; checkpoints lie at 20 and 40."""
    option = f"technique.{technique}"
    words = [f"technique={technique}", f"{option}.forget_rate=estimate", "noise_rate=0.4"]
    words += [f"{option}.warmup_epochs=10", "batch_size=7", "data.n_snr_squared=50"]
    whole = run_tiny(*words, name="whole")
    with killed_at(step):
        run_tiny(*words)
    resumed = run_tiny(*words)
    assert whole["techniques"][technique]["forget_rate"] > 0
    for key in ("final", "techniques"):
        assert resumed[key] == whole[key]

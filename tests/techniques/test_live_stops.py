"""Each rule that really stops a run stops where it would have stopped the run that went on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from labelnoise.config import CONF_DIR
from labelnoise.config.composition import compose
from labelnoise.errors import InputError
from labelnoise.learner.history import History
from labelnoise.monitors import DynamicsMonitor, MemorizationMonitor, Monitor, missing_monitor
from labelnoise.report.loaded import load_run
from labelnoise.stoppers import STOPPERS, shadow_stop
from labelnoise.techniques import EarlyStopping, LabelWave
from labelnoise.training.train import train
from tests.conftest import TINY_IMAGES, Kill, Run, but_slow

# Here all rules but the coefficients' stop, at five different steps.
WAVES = (
    "noise_rate=0.4",
    "max_epochs=18",
    "monitor=[memorization,dynamics,gradients]",
    "monitor.gradients.per_sample=none",
)
RULES = [name for name in STOPPERS if name != "coefficients"]


def options(rule: str) -> tuple[str, ...]:
    return ("technique=early_stop", f"technique.early_stop.trigger={rule}")


def selected(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run, weights_only=True)["state_dict"]
    return state


@pytest.fixture(scope="module")
def continued(image_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing stopped, with the network of every epoch."""
    path = tmp_path_factory.mktemp("continued") / "run"
    data = f"data.root={image_root}"
    train(compose([*TINY_IMAGES, data, *WAVES, "keep_checkpoint_every_n_epochs=1"]), path)
    return path


@pytest.mark.parametrize("rule", but_slow(*RULES, fast=3))
def test_it_stops_where_the_report_card_of_the_run_continued_says(
    run_images: Run, tmp_path: Path, continued: Path, rule: str
) -> None:
    summary = run_images(*WAVES, *options(rule))
    report = summary["techniques"]["early_stop"]
    stop = shadow_stop(STOPPERS[rule], load_run(continued).history)
    assert stop is not None, "the test wants a run that every rule stops"
    assert report["stopped_step"] == stop.stopped_step
    assert report["selected_step"] == stop.selected_step
    assert summary["status"] == "stopped_early" and summary["step"] == stop.stopped_step < 108
    assert STOPPERS[rule].event in report["reason"]
    kept = selected(continued / "checkpoints" / f"step_{stop.selected_step:06d}.ckpt")
    ours = selected(tmp_path / "run" / "checkpoints" / "selected.ckpt")
    assert kept.keys() == ours.keys()
    for name, value in kept.items():
        assert torch.equal(ours[name], value), name


@pytest.mark.slow
def test_by_coefficients_it_stops_there_too_where_both_look_at_every_step(run_tiny: Run) -> None:
    weak = ("data.n_snr_squared=2", "noise_rate=0.4", "max_steps=400", "log_every_n_steps=1")
    whole = run_tiny(*weak, name="whole")
    stopped = run_tiny(*weak, "technique=early_stop", "technique.early_stop.every_n_steps=1")
    card = whole["report_card"]["stop_coefficients"]
    report = stopped["techniques"]["early_stop"]
    assert (report["stopped_step"], report["selected_step"]) == (card["stopped_step"], card["step"])


@pytest.mark.slow
def test_label_wave_is_the_rule_of_that_name(run_images: Run) -> None:
    by_name = run_images(*WAVES, "technique=label_wave", name="by_name")
    by_trigger = run_images(*WAVES, *options("label_wave"), name="by_trigger")
    ours, theirs = by_name["techniques"]["label_wave"], by_trigger["techniques"]["early_stop"]
    assert ours == theirs and by_name["final"] == by_trigger["final"]
    wider = run_images(*WAVES, "technique=label_wave", "technique.label_wave.window=4")
    assert wider["techniques"]["label_wave"]["stopped_step"] != ours["stopped_step"]


@pytest.mark.parametrize("rule", but_slow("dominance", "label_wave", "gmm_gap", "val_acc"))
@pytest.mark.slow
def test_a_killed_run_is_taken_to_the_same_end(
    run_images: Run, tmp_path: Path, killed_at: Kill, continued: Path, rule: str
) -> None:
    """Killed between the step kept and the step that confirms it, in the middle of an epoch."""
    stop = shadow_stop(STOPPERS[rule], load_run(continued).history)
    assert stop is not None
    whole = run_images(*WAVES, *options(rule), name="whole")
    with killed_at(stop.selected_step + 4):
        run_images(*WAVES, *options(rule))
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()
    resumed = run_images(*WAVES, *options(rule))
    assert resumed["techniques"] == whole["techniques"] and resumed["final"] == whole["final"]
    a, b = (tmp_path / name / "metrics.csv" for name in ("run", "whole"))
    assert a.read_bytes() == b.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["label_wave", "gmm_gap", "dominance"])
def test_two_processes_stop_as_one_with_twice_the_batch_size(
    run_images: Run, continued: Path, rule: str
) -> None:
    ddp = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "batch_size=5")
    both = run_images(*WAVES, *options(rule), *ddp)
    stop = shadow_stop(STOPPERS[rule], load_run(continued).history)
    report = both["techniques"]["early_stop"]
    assert (report["stopped_step"], report["selected_step"]) == stop


@pytest.mark.slow
def test_a_rule_that_never_stops_keeps_the_last_network_or_the_best(
    run_images: Run, continued: Path
) -> None:
    # Validations after the best have to be as many as no run makes.
    options_ = (*options("val_acc"), "technique.early_stop.patience=100")
    report = run_images(*WAVES, *options_)["techniques"]["early_stop"]
    steps, acc = load_run(continued).history.series("val/acc")
    assert report["stopped_step"] is None and report["selected_step"] == steps[acc.argmax()]
    patient = ("technique=label_wave", "technique.label_wave.patience=100")
    report = run_images(*WAVES, *patient, name="last")["techniques"]["label_wave"]
    assert report["stopped_step"] is None and report["selected_step"] == 108


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("technique=label_wave", "monitor=none"),
         "technique=label_wave with trigger label_wave reads dynamics/prediction_changes, but no "
         r"monitor records it: write monitor=\[memorization,dynamics\]"),
        ((*options("gmm_gap"), "monitor=none"), r"write monitor=\[memorization,dynamics\]"),
        ((*options("dominance"), "monitor=none"), r"write monitor=\[memorization,gradients\]"),
        ((*options("val_acc"), "data.val_fraction=0"), "there are no validation samples"),
    ],
)  # fmt: skip
def test_what_nobody_measures_stops_nothing(
    run_images: Run, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run_images(*words)


@pytest.mark.parametrize(
    ("words", "monitor", "metric"),
    [
        (("technique=label_wave",), "dynamics", "dynamics/prediction_changes"),
        (options("dominance"), "gradients", "gradients/dominance"),
    ],
)
@pytest.mark.slow
def test_the_monitor_of_a_rule_is_switched_on(
    run_images: Run, tmp_path: Path, words: tuple[str, ...], monitor: str, metric: str
) -> None:
    """The run is then that with the monitor chosen."""
    added = run_images(*words, "monitor=memorization")
    chosen = run_images(*words, f"monitor=[memorization,{monitor}]", name="chosen")
    assert added["final"] == chosen["final"] and added["techniques"] == chosen["techniques"]
    ours, theirs = (tmp_path / name / "metrics.csv" for name in ("run", "chosen"))
    assert ours.read_bytes() == theirs.read_bytes() and metric in ours.read_text()
    assert f"monitor={monitor} is switched on" in (tmp_path / "run" / "run.log").read_text()


def test_a_monitor_has_to_declare_its_metrics() -> None:
    with pytest.raises(TypeError, match="Silent declares no metrics: write records = "):
        type("Silent", (Monitor,), {})


def test_monitors_record_what_they_say(continued: Path) -> None:
    """`missing_monitor` goes by the names that monitors say they record."""
    history = History.read_csv(continued / "metrics.csv")
    for metric in history.names:
        assert missing_monitor([metric], []) in {metric.partition("/")[0], None}
    for stopper in STOPPERS.values():
        for metric in stopper.names:
            name = missing_monitor([metric], [MemorizationMonitor()])
            assert name is None or (CONF_DIR / "monitor" / f"{name}.yaml").exists()
    assert missing_monitor(["gradients/dominance"], [DynamicsMonitor()]) == "gradients"


def test_a_trigger_says_what_its_rule_is_told(run_images: Run) -> None:
    told = {name: EarlyStopping(name).oracle_knowledge() for name in ("auto", *STOPPERS)}
    assert told["dominance"] == ["true labels"]
    assert told.pop("auto") == [] == LabelWave().oracle_knowledge()
    assert told == {n: [rule.knows] if rule.knows else [] for n, rule in STOPPERS.items()}
    summary = run_images(*WAVES, *options("dominance"), "max_epochs=1")
    assert summary["oracle_knowledge"] == ["true labels"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"window": 0}, "technique.label_wave.window must be a whole number of at least 1, got 0"),
        (
            {"patience": 0},
            "technique.label_wave.patience must be a whole number of at least 1, got 0",
        ),
    ],
)
def test_bad_options_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LabelWave(**bad)

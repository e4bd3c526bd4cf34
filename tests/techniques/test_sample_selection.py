from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer

from labelnoise.errors import InputError
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.learner.history import History
from labelnoise.report.loaded import load_run
from labelnoise.selection import RULES, Evidence, Options
from labelnoise.selection.rules import Selection
from labelnoise.techniques import SampleSelection, sample_selection
from tests.conftest import Kill, Run, but_slow

OPTION = "technique.sample_selection."
# With two classes the default percentile can leave nothing of a few samples.
TECHNIQUE = ("technique=sample_selection", f"{OPTION}percentile=50")


class Weights:
    """Remembers the sample weights that each step trained with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at: dict[int, list[float]] = {}
        original = NoisyLabelClassifier.training_step

        def remember(
            module: NoisyLabelClassifier, batch: Any, index: int
        ) -> dict[str, torch.Tensor]:
            self.at[module.trainer.global_step] = module.sample_weight.tolist()
            return original(module, batch, index)

        monkeypatch.setattr(NoisyLabelClassifier, "training_step", remember)


def script_log2(monkeypatch: pytest.MonkeyPatch, mask: torch.Tensor) -> None:
    def select(evidence: Evidence, options: Options) -> Selection:
        return Selection(mask)

    monkeypatch.setitem(RULES, "log2", replace(RULES["log2"], select=select))


def test_the_mask_holds_from_the_step_of_the_selection_on(
    run_tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = Weights(monkeypatch)
    mask = torch.tensor([True] * 15 + [False] * 5)
    script_log2(monkeypatch, mask)
    start = "technique.sample_selection.start_step=33"
    summary = run_tiny("technique=sample_selection", start)
    assert weights.at[32] == [1.0] * 20
    assert weights.at[33] == weights.at[59] == mask.float().tolist()
    report = summary["techniques"]["sample_selection"]
    assert report["first"]["step"] == 33 and report["first"]["kept"] == 15
    assert summary["selection"] == report


def test_samples_left_out_are_memorized_no_further(run_tiny: Run, tmp_path: Path) -> None:
    run_tiny("technique=sample_selection", "technique.sample_selection.start_step=10")
    with np.load(tmp_path / "run" / "coefficients.npz", allow_pickle=False) as arrays:
        rho = dict(zip(arrays["steps"].tolist(), arrays["rho_max"].max(1), strict=True))
    before, after = rho[10] - rho[8], rho[60] - rho[10]
    moved = before > 1e-4  # a patch on which no filter is active does not move at all
    assert moved.sum() > 15
    # Up to the rounding of float32 weights, a sample either goes on or stands still.
    assert ((after > 1e-3) | (abs(after) < 1e-6))[moved].all()
    assert 0 < (after > 1e-3).sum() < moved.sum()


def test_it_selects_again_at_the_interval(run_tiny: Run) -> None:
    options = ("start_step=10", "every_n_steps=15", "rule=keep_rate")
    summary = run_tiny(
        "technique=sample_selection", *(f"technique.sample_selection.{word}" for word in options)
    )
    report = summary["techniques"]["sample_selection"]
    assert (report["first"]["step"], report["last"]["step"]) == (10, 55)
    assert report["first"]["kept"] == report["last"]["kept"] == 16


def test_the_warm_up_ends_where_the_lead_of_signal_learning_peaks(
    run_tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = {10: 1.0, 20: 3.0, 30: 2.0, 40: 4.0, 50: 3.5, 60: 3.0}

    def script(trainer: Trainer, module: NoisyLabelClassifier) -> tuple[float, float]:
        return lead.get(trainer.global_step, 0.0), 0.0

    monkeypatch.setattr(sample_selection, "signal_and_noise", script)
    summary = run_tiny("technique=sample_selection")
    assert summary["techniques"]["sample_selection"]["first"]["step"] == 60


def test_a_selection_of_nothing_is_not_made(run_tiny: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = Weights(monkeypatch)
    script_log2(monkeypatch, torch.zeros(20, dtype=torch.bool))
    summary = run_tiny("technique=sample_selection", "technique.sample_selection.start_step=10")
    assert summary["techniques"]["sample_selection"]["first"] is None
    assert weights.at[59] == [1.0] * 20


def test_a_class_left_without_samples_is_told_once(
    run_tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tiny data's labels are those of the run below: half of them have the first class.
    labels = run_tiny("technique=sample_selection", f"{OPTION}start_step=10", name="first")
    assert all(labels["selection"]["first"]["per_class"]["kept"])
    with np.load(tmp_path / "first" / "noise.npz", allow_pickle=False) as noise:
        label = torch.from_numpy(noise["label"][:20])
    script_log2(monkeypatch, label == 0)
    summary = run_tiny(
        "technique=sample_selection", f"{OPTION}start_step=10", f"{OPTION}every_n_steps=10"
    )
    assert summary["selection"]["last"]["per_class"]["kept"] == [int((label == 0).sum()), 0]
    assert summary["selection"]["last"]["per_class"]["precision"][1] is None
    log = (tmp_path / "run" / "run.log").read_text()
    assert log.count("keeps no sample labelled") == 1


@pytest.mark.parametrize("rule", ["keep_rate", "gmm", "confident_learning", "random"])
def test_samples_whose_loss_is_not_finite_are_left_out_and_counted_once(
    run_tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    original = NoisyLabelClassifier.logits

    def logits(module: NoisyLabelClassifier, split: Any) -> torch.Tensor:
        found = original(module, split)
        found[3:5] = torch.nan
        return found

    weights = Weights(monkeypatch)
    monkeypatch.setattr(NoisyLabelClassifier, "logits", logits)
    options = (f"{OPTION}rule={rule}", f"{OPTION}start_step=20", f"{OPTION}every_n_steps=10")
    run_tiny(*TECHNIQUE, *options, "monitor=none", "data.n_snr_squared=50")
    assert weights.at[59][3:5] == [0.0, 0.0] and sum(weights.at[59]) > 5
    log = (tmp_path / "run" / "run.log").read_text()
    assert log.count("the loss of 2 of 20 samples is not finite") == 1


@pytest.mark.parametrize("rule", ["log2", "dynamic_threshold"])
@pytest.mark.parametrize("step", but_slow(28, 45))
def test_a_resumed_run_selects_as_the_uninterrupted_one(
    run_tiny: Run, killed_at: Kill, step: int, rule: str
) -> None:
    """Killed before and after the selection; checkpoints lie at 20 and 40."""
    options = ("technique=sample_selection", f"{OPTION}start_step=30", f"{OPTION}rule={rule}")
    whole = run_tiny(*options, name="whole")
    with killed_at(step):
        run_tiny(*options)
    resumed = run_tiny(*options)
    assert resumed["final"] == whole["final"]
    assert resumed["techniques"] == whole["techniques"]


@pytest.mark.slow
@pytest.mark.parametrize("rule", [*RULES])
def test_every_rule_resumes_bit_for_bit_from_within_an_epoch(
    run_images: Run, killed_at: Kill, tmp_path: Path, rule: str
) -> None:
    """Epochs of 6 steps, checkpoints at 5, 10, ...: those at 5 and 10 hold parts of a row."""
    options = [*TECHNIQUE, f"{OPTION}warmup_epochs=2", f"{OPTION}rule={rule}"]
    options += [f"{OPTION}every_n_steps=4"]
    run_images(*options, name="whole")
    for step in (8, 14):  # before and after the first selection at 12; then there is one at 16
        with killed_at(step):
            run_images(*options)
    run_images(*options)
    states = [
        torch.load(tmp_path / name / "checkpoints" / "selected.ckpt", weights_only=True)
        for name in ("whole", "run")
    ]
    for key in ("state_dict", "sample_weight"):
        torch.testing.assert_close(states[0][key], states[1][key], atol=0, rtol=0)
    files = [tmp_path / name / "metrics.csv" for name in ("whole", "run")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("rule", [*RULES])
def test_a_selection_reports_itself_beside_the_truth(
    run_tiny: Run, tmp_path: Path, rule: str
) -> None:
    options = (*TECHNIQUE, f"{OPTION}start_step=12", f"{OPTION}every_n_steps=16")
    summary = run_tiny(*options, f"{OPTION}rule={rule}", "noise_rate=0.2", "max_steps=28")
    first = summary["selection"]["first"]
    assert (first["step"], summary["selection"]["last"]["step"]) == (12, 28)
    assert first["noise_rate"] == pytest.approx(0.2)
    assert 0 <= first["noise_rate_estimate"] < 1
    assert sum(first["per_class"]["kept"]) == first["kept"]
    history = History.read_csv(tmp_path / "run" / "metrics.csv")
    for name in ("precision", "recall", "f1", "auc", "kept", "noise_rate", "noise_rate_estimate"):
        assert history.at(f"selection/{name}", 12) == pytest.approx(first[name]), name
    if rule == "oracle":
        assert first["precision"] == first["recall"] == first["f1"] == first["auc"] == 1
        assert first["noise_rate_estimate"] == pytest.approx(first["noise_rate"])
    told = {"oracle": ["true labels"], "keep_rate": ["noise rate"], "random": ["noise rate"]}
    assert summary["oracle_knowledge"] == told.get(rule, [])


@pytest.mark.parametrize("rule", ["aum", "dynamic_threshold", "wrong_events"])
def test_rules_that_look_back_read_the_rows_that_the_monitor_keeps(
    run_images: Run, tmp_path: Path, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Evidence] = []

    def select(evidence: Evidence, options: Options) -> Selection:
        seen.append(evidence)
        return Selection(torch.ones(len(evidence.label), dtype=torch.bool))

    monkeypatch.setitem(RULES, rule, replace(RULES[rule], select=select))
    options = (f"{OPTION}rule={rule}", f"{OPTION}warmup_epochs=3")
    run_images("technique=sample_selection", *options)
    log = load_run(tmp_path / "run").dynamics().log
    (evidence,) = seen
    records = evidence.recorded
    label = evidence.label.numpy()
    assert evidence.step == 18 and records.epochs == 3
    margin = np.array(log.arrays["margin"][:3], dtype=float).mean(0)
    np.testing.assert_allclose(records.aum, margin, atol=2e-3, rtol=2e-3)
    wrong = (np.array(log.arrays["prediction"][:3]) != label).sum(0)
    np.testing.assert_array_equal(records.wrong_events, wrong)
    if rule == "dynamic_threshold":
        np.testing.assert_array_equal(records.losses, log.arrays["loss"][:3])


@pytest.mark.parametrize("batch", ["null", "6"])
def test_an_epoch_is_a_pass_over_the_data_also_where_the_trainer_has_but_one(
    run_tiny: Run, batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signal-noise data are one epoch of the trainer: 4 batches of 6 or fewer are a pass."""
    epochs: dict[int, int] = {}
    original = SampleSelection._is_due

    def is_due(technique: SampleSelection, trainer: Trainer, module: Any) -> bool:
        assert technique.records is not None
        epochs[trainer.global_step] = technique.records.epochs
        return original(technique, trainer, module)

    monkeypatch.setattr(SampleSelection, "_is_due", is_due)
    options = [f"{OPTION}rule=dynamic_threshold", f"{OPTION}start_step=3", f"batch_size={batch}"]
    options += [f"{OPTION}every_n_steps=1"]
    summary = run_tiny("technique=sample_selection", *options, "max_steps=20")
    steps = 1 if batch == "null" else 4
    assert epochs == {step: step // steps for step in range(1, 21)}
    assert summary["selection"]["first"]["step"] == max(3, 2 * steps)


@pytest.mark.slow
def test_early_stopping_beside_it_counts_the_samples_kept(run_tiny: Run) -> None:
    """Alone it stops early; with most noisy samples left out, the rest overtake much later."""
    options = ("data.n=60", "data.d=300", "model.filters=8", "max_steps=400")
    alone = run_tiny("technique=early_stop", *options, name="alone")
    both = run_tiny("technique=[early_stop,sample_selection]", *options, name="both")
    early, late = (run["techniques"]["early_stop"]["stopped_step"] for run in (alone, both))
    assert both["selection"]["first"]["step"] < early < late


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "best"}, "one of log2, keep_rate, gmm, .*, oracle, got best"),
        ({"rule": "keep_rate", "noise_rate": 1.0}, "noise_rate must be a number from 0 to below 1"),
        (
            {"rule": "random", "keep_share": 0.0},
            r"keep_share must be a number above 0 and at most 1, got 0.0",
        ),
        (
            {"rule": "random", "keep_share": 1.5},
            r"keep_share must be a number above 0 and at most 1, got 1.5",
        ),
        ({"max_wrong_share": 1.0}, r"max_wrong_share must be a number from 0 to below 1, got 1.0"),
        ({"max_wrong_share": -0.1}, "max_wrong_share must be"),
        ({"percentile": 0.0}, r"percentile must be a number above 0 and at most 100, got 0.0"),
        ({"percentile": 101.0}, "percentile must be"),
        ({"prune": "all"}, "prune must be one of confident_joint, class, noise_rate, got all"),
        ({"start_step": 0}, "start_step must be a whole number of at least 1, got 0"),
        ({"warmup_epochs": 0}, "warmup_epochs must be a whole number of at least 1, got 0"),
        ({"every_n_steps": 0}, "every_n_steps must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SampleSelection(**options)


@pytest.mark.parametrize("rule", ["gmm", "aum"])
def test_a_run_that_diverged_selects_nothing(run_images: Run, tmp_path: Path, rule: str) -> None:
    """Every loss and logit is NaN at the selection: no sample is kept, and the run says so."""
    options = (f"{OPTION}rule={rule}", f"{OPTION}start_step=12", f"{OPTION}percentile=50")
    summary = run_images("technique=sample_selection", "optimizer.lr=3e38", *options)
    assert summary["techniques"]["sample_selection"]["first"] is None
    assert "would keep no sample" in (tmp_path / "run" / "run.log").read_text()

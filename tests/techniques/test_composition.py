"""Every pair of techniques runs together, or is refused by a line that names both."""

from __future__ import annotations

from functools import cache, partial
from itertools import combinations

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch.nn import functional as F

from labelnoise.config import CONF_DIR
from labelnoise.config.composition import compose
from labelnoise.errors import InputError
from labelnoise.report.tables.summary import selecting_metric
from labelnoise.techniques import ROLES, JoCoR, Loss, Technique, conflict
from labelnoise.training.building import build_techniques
from tests.conftest import Run

NAMES = sorted(path.stem for path in (CONF_DIR / "technique").glob("*.yaml") if path.stem != "none")


@cache
def built(name: str) -> Technique:
    (technique,) = build_techniques(composed(name)).values()
    return technique


@cache
def composed(name: str) -> DictConfig:
    return compose([f"technique={name}"])


def pair(one: str, two: str) -> DictConfig:
    """As technique=[one,two], which Hydra would compose for a fifth of a second."""
    cfg = composed(one).copy()
    OmegaConf.set_struct(cfg, False)
    cfg.technique = {name: composed(name).technique[name] for name in (one, two)}
    return cfg


def test_a_pair_is_composed_as_from_the_command_line() -> None:
    assert pair("elr", "mixup").technique == compose(["technique=[elr,mixup]"]).technique


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_role_and_known_refusals(name: str) -> None:
    technique = built(name)
    assert technique.role in ROLES
    assert technique.refuses.keys() <= ROLES.keys()
    assert technique.oracle_knowledge() == sorted(technique.oracle_knowledge())


@pytest.mark.parametrize(("one", "two"), [*combinations(NAMES, 2)])
def test_a_pair_is_refused_by_both_names_or_built(one: str, two: str) -> None:
    reason = conflict(one, built(one), two, built(two))
    cfg = pair(one, two)
    if reason is None:
        assert list(build_techniques(cfg)) == [one, two]
    else:
        assert one in reason and two in reason
        with pytest.raises(
            InputError, match=rf"technique=\[{one},{two}\]: .*; choose one of the two"
        ):
            build_techniques(cfg)


def test_two_losses_at_once_are_refused(run_tiny: Run) -> None:
    with pytest.raises(InputError, match=r"\[gce,mae\]: gce sets the loss .*, and so does mae"):
        run_tiny("technique=[gce,mae]")


def test_the_summary_tells_what_nobody_else_would_know(run_tiny: Run) -> None:
    options = ("technique=sample_selection", "technique.sample_selection.start_step=5")
    honest = run_tiny(*options)
    told = run_tiny(*options, "technique.sample_selection.rule=keep_rate", name="told")
    assert honest["oracle_knowledge"] == []
    assert told["oracle_knowledge"] == ["noise rate"]


CROSS_ENTROPY = {
    "ce", "co_teaching", "early_stop", "label_wave", "mixup", "neighbour_trust", "sample_selection",
    "stochastic_reset",
}  # fmt: skip
OTHER_LOSSES = {
    "backward_correction", "bootstrapping_hard", "bootstrapping_soft", "dal", "elr",
    "forward_correction", "gce", "jocor", "label_smoothing", "mae", "nce_rce", "sce", "tcr",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CROSS_ENTROPY | OTHER_LOSSES))
def test_each_technique_says_whether_it_trains_on_cross_entropy(name: str) -> None:
    expected = "val/loss" if name in CROSS_ENTROPY else "val/acc"
    assert selecting_metric([built(name)], 5) == expected
    assert selecting_metric([built("early_stop"), built(name)], 5) == expected


def test_a_loss_is_recognized_by_its_values() -> None:
    own = partial(F.cross_entropy, reduction="none")
    assert Loss(own).trains_on_cross_entropy(3)
    assert not Loss(partial(own, label_smoothing=0.1)).trains_on_cross_entropy(3)
    assert not Loss(partial(own, weight=torch.tensor([1.0, 2, 1]))).trains_on_cross_entropy(3)
    assert JoCoR(agreement_weight=0).trains_on_cross_entropy(3)

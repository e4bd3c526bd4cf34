"""The table of selection rules: for each name, a function from evidence and options to a mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from labelnoise.noise.truth import UnknownTruth
from labelnoise.seeding import stream
from labelnoise.selection.aum import select_aum
from labelnoise.selection.baselines import select_oracle, select_random
from labelnoise.selection.confident_learning import estimate_noise_rate, select_confident_learning
from labelnoise.selection.dynamic_threshold import select_dynamic_threshold
from labelnoise.selection.events import select_wrong_events
from labelnoise.selection.loss import select_gmm, select_keep_rate, select_log2
from labelnoise.selection.records import Records


@dataclass(frozen=True)
class Options:
    """The options of all rules; each rule reads its own.

    Attributes:
        noise_rate: in [0, 1), for "keep_rate", and for "random" without ``keep_share``. None: the
            estimate from the confident joint at the selection.
        keep_share: in (0, 1], for "random"; None: 1 - noise_rate.
        max_wrong_share: in [0, 1), for "wrong_events".
        percentile: in (0, 100], for "aum".
        prune: for "confident_learning", a word of ``PRUNE``.
        seed: seed of the random draws of the rules.
    """

    noise_rate: float | None = None
    keep_share: float | None = None
    max_wrong_share: float = 0.5
    percentile: float = 99.0
    prune: str = "confident_joint"
    seed: int = 0


@dataclass(frozen=True)
class Evidence:
    """The data that a rule may read at a selection.

    Attributes:
        logits: (n, K) logits of all training samples at the current weights.
        label: (n,) given labels.
        is_noisy: (n,) mask of the noisy samples, for the rule "oracle" only; None if the true
            labels are unknown.
        records: the records of the epochs so far; None for rules that need no records.
        step: the step of the selection.
    """

    logits: Float[Tensor, "n K"]
    label: Int[Tensor, " n"]
    is_noisy: Bool[Tensor, " n"] | None
    records: Records | None = None
    step: int = 0

    @cached_property
    def loss(self) -> Float[Tensor, " n"]:
        """Cross-entropy with the given labels."""
        return F.cross_entropy(self.logits, self.label, reduction="none")

    @cached_property
    def is_finite(self) -> Bool[Tensor, " n"]:
        """Mask of the samples with finite logits and loss; the others are never kept."""
        return self.logits.isfinite().all(1) & self.loss.isfinite()

    @property
    def recorded(self) -> Records:
        """The records, for rules that need recorded epochs."""
        assert self.records is not None, "a rule without epochs has no records"
        return self.records


class Selection(NamedTuple):
    """The result of a rule.

    Attributes:
        kept: mask of the samples to train on.
        score: a higher score means a more suspicious label; None if the rule has no score.
        noise_rate: the noise rate that the rule estimates; None if its estimate is the share of
            the samples that it leaves out.
    """

    kept: Bool[Tensor, " n"]
    score: Float[Tensor, " n"] | None = None
    noise_rate: float | None = None


@dataclass(frozen=True)
class Rule:
    """A selection rule.

    Attributes:
        select: maps evidence and options to a selection. The docs quote the first line of its
            docstring, which names the kept samples.
        epochs: number of epochs to record before the first selection; 0 for rules without records.
        keep_losses, other_labels: options of :class:`Records`.
    """

    select: Callable[[Evidence, Options], Selection]
    epochs: int = 0
    keep_losses: bool = False
    other_labels: bool = False


def _log2(evidence: Evidence, options: Options) -> Selection:
    """Samples with loss below log 2."""
    return Selection(select_log2(evidence.loss))


def _noise_rate(evidence: Evidence, options: Options) -> float:
    if options.noise_rate is not None:
        return options.noise_rate
    estimate = estimate_noise_rate(evidence.logits, evidence.label)
    assert estimate is not None, "apply_rule selects only if some logits are finite"
    return estimate


def _keep_rate(evidence: Evidence, options: Options) -> Selection:
    """The round((1 - noise rate) n) samples of smallest loss."""
    return Selection(select_keep_rate(evidence.loss, 1.0 - _noise_rate(evidence, options)))


def _gmm(evidence: Evidence, options: Options) -> Selection:
    """Samples that a mixture of two Gaussians assigns to the component of lower loss."""
    return Selection(select_gmm(evidence.loss))


def _dynamic_threshold(evidence: Evidence, options: Options) -> Selection:
    """Samples of small recorded loss; their number follows from the early and the late losses."""
    return Selection(*select_dynamic_threshold(evidence.recorded.losses))


def _aum(evidence: Evidence, options: Options) -> Selection:
    """Samples with a larger mean margin than nearly all labels drawn at random."""
    aum, other = evidence.recorded.aum, evidence.recorded.other_aum
    return Selection(select_aum(aum, other, options.percentile), -aum)


def _wrong_events(evidence: Evidence, options: Options) -> Selection:
    """Samples that were rarely predicted as another class."""
    wrong, epochs = evidence.recorded.wrong_events, evidence.recorded.epochs
    return Selection(select_wrong_events(wrong, epochs, options.max_wrong_share), wrong)


def _confident_learning(evidence: Evidence, options: Options) -> Selection:
    """Samples that the confident joint does not contradict."""
    kept = evidence.is_finite.clone()
    probability, label = evidence.logits[kept].double().softmax(1), evidence.label[kept]
    kept[evidence.is_finite], noise_rate = select_confident_learning(
        probability, label, options.prune
    )
    return Selection(kept, noise_rate=noise_rate)


def _random(evidence: Evidence, options: Options) -> Selection:
    """A random share of the samples, `keep_share` or 1 - noise rate, as a baseline."""
    share = options.keep_share
    if share is None:
        share = 1.0 - _noise_rate(evidence, options)
    draws = stream(options.seed, "selection", "random", evidence.step)
    return Selection(select_random(len(evidence.label), share, draws))


def _oracle(evidence: Evidence, options: Options) -> Selection:
    """Exactly the clean samples, by the true labels, as a baseline."""
    if evidence.is_noisy is None:
        raise UnknownTruth("rule=oracle")
    return Selection(select_oracle(evidence.is_noisy), evidence.is_noisy.float())


RULES: dict[str, Rule] = {
    "log2": Rule(_log2),
    "keep_rate": Rule(_keep_rate),
    "gmm": Rule(_gmm),
    "dynamic_threshold": Rule(_dynamic_threshold, epochs=2, keep_losses=True),
    "aum": Rule(_aum, epochs=1, other_labels=True),
    "wrong_events": Rule(_wrong_events, epochs=1),
    "confident_learning": Rule(_confident_learning),
    "random": Rule(_random),
    "oracle": Rule(_oracle),
}


def reads_noise_rate(rule: str, options: Options) -> bool:
    """Whether a rule takes the number of kept samples from a noise rate.

    Example:
        >>> reads_noise_rate("keep_rate", Options()), reads_noise_rate("gmm", Options())
        (True, False)
        >>> reads_noise_rate("random", Options(keep_share=0.5))
        False
    """
    return rule == "keep_rate" or (rule == "random" and options.keep_share is None)


def apply_rule(rule: str, evidence: Evidence, options: Options) -> Selection:
    """The selection of a rule, without the samples whose loss is not finite.

    If no loss is finite (the run has diverged), no sample is kept.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[5.0, 0.0], [4.0, 0.0], [torch.nan, 0.0]])
        >>> noisy = torch.zeros(3, dtype=torch.bool)
        >>> evidence = Evidence(logits, torch.zeros(3, dtype=torch.long), noisy)
        >>> [apply_rule(rule, evidence, Options(0.0)).kept.tolist() for rule in ("gmm", "random")]
        [[True, True, False], [True, True, False]]
    """
    if not evidence.is_finite.any():
        return Selection(evidence.is_finite)
    selection = RULES[rule].select(evidence, options)
    return selection._replace(kept=selection.kept & evidence.is_finite)

"""Every rule by name: what it reads, what it needs to know, and the mask that it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from labelnoise.checks import check_word
from labelnoise.noise.truth import UnknownTruth
from labelnoise.seeding import stream
from labelnoise.selection.aum import select_aum
from labelnoise.selection.baselines import select_oracle, select_random
from labelnoise.selection.confident_learning import (
    PRUNE,
    estimate_noise_rate,
    select_confident_learning,
)
from labelnoise.selection.dynamic_threshold import select_dynamic_threshold
from labelnoise.selection.events import select_wrong_events
from labelnoise.selection.loss import select_gmm, select_keep_rate, select_log2
from labelnoise.selection.records import Records


@dataclass(frozen=True)
class Options:
    """What the rules can be told; each reads its own.

    Attributes:
        noise_rate: in [0, 1), for "keep_rate", and for "random" without ``keep_share``; None: an
            estimate by the confident joint when a selection is due.
        keep_share: in (0, 1], for "random"; None: 1 - noise_rate.
        max_wrong_share: in [0, 1), for "wrong_events".
        percentile: in (0, 100], for "aum".
        prune: for "confident_learning", one of ``PRUNE``.
        seed: of what rules draw.
    """

    noise_rate: float | None = None
    keep_share: float | None = None
    max_wrong_share: float = 0.5
    percentile: float = 99.0
    prune: str = "confident_joint"
    seed: int = 0

    def check(self, rule: str) -> None:
        """Refuse an unknown rule and values out of range.

        Raises:
            InputError: says which.
        """
        prefix = "technique.sample_selection."
        check_word(f"{prefix}rule", rule, RULES)
        check_word(f"{prefix}prune", self.prune, PRUNE)


@dataclass(frozen=True)
class Evidence:
    """What a rule may look at when a selection is due.

    Attributes:
        logits: (n, K) of all training samples at one set of weights.
        label: (n,) given labels.
        is_noisy: (n,) whose label is wrong, which the oracle alone may ask for; None where that is
            not known.
        records: of the epochs so far; None for rules that need none.
        step: when.
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
        """Whose logits and loss are numbers; the others tell nothing and are never kept."""
        return self.logits.isfinite().all(1) & self.loss.isfinite()

    @property
    def recorded(self) -> Records:
        """The records, where the rule asked for them."""
        assert self.records is not None, "a rule without epochs has no records"
        return self.records


class Selection(NamedTuple):
    """What a rule decided.

    Attributes:
        kept: the samples to train on.
        score: the higher, the more suspicious; None: the rule has none of its own.
        noise_rate: as the rule estimates it; None: the share of samples that it leaves out.
    """

    kept: Bool[Tensor, " n"]
    score: Float[Tensor, " n"] | None = None
    noise_rate: float | None = None


@dataclass(frozen=True)
class Rule:
    """One way to select.

    Attributes:
        select: from evidence and options; its docstring begins with what is kept, for the docs.
        epochs: how many have to be recorded before; 0 for rules that look at one moment.
        keep_losses, other_labels: what of them :class:`Records` has to hold.
    """

    select: Callable[[Evidence, Options], Selection]
    epochs: int = 0
    keep_losses: bool = False
    other_labels: bool = False


def _log2(evidence: Evidence, options: Options) -> Selection:
    """Losses below log 2."""
    return Selection(select_log2(evidence.loss))


def _noise_rate(evidence: Evidence, options: Options) -> float:
    if options.noise_rate is not None:
        return options.noise_rate
    estimate = estimate_noise_rate(evidence.logits, evidence.label)
    assert estimate is not None, "apply_rule asks for no selection without finite logits"
    return estimate


def _keep_rate(evidence: Evidence, options: Options) -> Selection:
    """The share 1 - noise rate of smallest loss."""
    return Selection(select_keep_rate(evidence.loss, 1.0 - _noise_rate(evidence, options)))


def _gmm(evidence: Evidence, options: Options) -> Selection:
    """What a mixture of two Gaussians assigns to the component of lower loss."""
    return Selection(select_gmm(evidence.loss))


def _dynamic_threshold(evidence: Evidence, options: Options) -> Selection:
    """Small recorded losses, as many as early against late ones tell."""
    return Selection(*select_dynamic_threshold(evidence.recorded.losses))


def _aum(evidence: Evidence, options: Options) -> Selection:
    """Mean margins above those of labels drawn at random."""
    aum, other = evidence.recorded.aum, evidence.recorded.other_aum
    return Selection(select_aum(aum, other, options.percentile), -aum)


def _wrong_events(evidence: Evidence, options: Options) -> Selection:
    """What was seldom predicted as another class."""
    wrong, epochs = evidence.recorded.wrong_events, evidence.recorded.epochs
    return Selection(select_wrong_events(wrong, epochs, options.max_wrong_share), wrong)


def _confident_learning(evidence: Evidence, options: Options) -> Selection:
    """What the confident joint does not contradict."""
    kept = evidence.is_finite.clone()
    probability, label = evidence.logits[kept].double().softmax(1), evidence.label[kept]
    kept[evidence.is_finite], noise_rate = select_confident_learning(
        probability, label, options.prune
    )
    return Selection(kept, noise_rate=noise_rate)


def _random(evidence: Evidence, options: Options) -> Selection:
    """Any samples, as many as a noise rate or `keep_share` says, to compare with."""
    share = options.keep_share
    if share is None:
        share = 1.0 - _noise_rate(evidence, options)
    draws = stream(options.seed, "selection", "random", evidence.step)
    return Selection(select_random(len(evidence.label), share, draws))


def _oracle(evidence: Evidence, options: Options) -> Selection:
    """Just the clean samples, by their true labels, to compare with."""
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
    """Whether a rule keeps as many samples as a noise rate says.

    Example:
        >>> reads_noise_rate("keep_rate", Options()), reads_noise_rate("gmm", Options())
        (True, False)
        >>> reads_noise_rate("random", Options(keep_share=0.5))
        False
    """
    return rule == "keep_rate" or (rule == "random" and options.keep_share is None)


def apply_rule(rule: str, evidence: Evidence, options: Options) -> Selection:
    """What a rule selects; samples without a finite loss are never kept.

    Nothing is kept where no loss is finite, as in a run that diverged.

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

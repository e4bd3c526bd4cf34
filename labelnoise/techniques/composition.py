"""Which techniques can be combined in one run."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from labelnoise.errors import InputError
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.techniques.technique import ROLES, Technique


def conflict(name: str, technique: Technique, other_name: str, other: Technique) -> str | None:
    """The reason why two techniques cannot be combined, with both names; None if they can.

    Example:
        >>> from labelnoise.techniques import EarlyStopping, SampleSelection
        >>> conflict("early_stop", EarlyStopping(), "sample_selection", SampleSelection())
        >>> conflict("a", SampleSelection(), "b", SampleSelection("gmm"))
        'a chooses the samples to train on, and so does b'
    """
    if technique.role is not None and technique.role == other.role:
        return f"{name} {ROLES[technique.role]}, and so does {other_name}"
    for refusing_name, refusing, refused_name, refused in (
        (name, technique, other_name, other),
        (other_name, other, name, technique),
    ):
        if refused.role in refusing.refuses:
            reason = refusing.refuses[refused.role]
            return f"{refusing_name} cannot be combined with {refused_name}, which {reason}"
    return None


def check_composition(techniques: Mapping[str, Technique]) -> None:
    """Refuse techniques that cannot be combined.

    Raises:
        InputError: names the first such pair and the reason.
    """
    for (name, technique), (other_name, other) in combinations(techniques.items(), 2):
        reason = conflict(name, technique, other_name, other)
        if reason is not None:
            raise InputError(f"technique=[{name},{other_name}]: {reason}; choose one of the two")


def learner_of(techniques: Mapping[str, Technique]) -> type[NoisyLabelClassifier]:
    """The class of the module that the techniques train; at most one technique sets ``learner``.

    Example:
        >>> from labelnoise.techniques import CoTeaching, EarlyStopping
        >>> learner_of({"early_stop": EarlyStopping()}).__name__
        'NoisyLabelClassifier'
        >>> learner_of({"early_stop": EarlyStopping(), "co": CoTeaching(0.2)}).__name__
        'TwoNetworkClassifier'
    """
    learners = [t.learner for t in techniques.values() if t.learner is not None]
    assert len(learners) <= 1, "all techniques with a learner have the same role"
    return learners[0] if learners else NoisyLabelClassifier

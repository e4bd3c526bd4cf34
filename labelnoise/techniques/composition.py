"""Which techniques go together."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from labelnoise.errors import InputError
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.techniques.technique import ROLES, Technique


def conflict(name: str, technique: Technique, other_name: str, other: Technique) -> str | None:
    """Why two techniques cannot run together, as a clause that names both; None where they can.

    Example:
        >>> from labelnoise.techniques import EarlyStopping, SampleSelection
        >>> conflict("early_stop", EarlyStopping(), "sample_selection", SampleSelection())
        >>> conflict("a", SampleSelection(), "b", SampleSelection("gmm"))
        'a chooses the samples that count, and so does b'
    """
    if technique.role is not None and technique.role == other.role:
        return f"{name} {ROLES[technique.role]}, and so does {other_name}"
    for (one, its), (two, of_two) in (
        ((name, technique), (other_name, other)),
        ((other_name, other), (name, technique)),
    ):
        if of_two.role in its.refuses:
            return f"{one} does not go with {two}, which {its.refuses[of_two.role]}"
    return None


def check_composition(techniques: Mapping[str, Technique]) -> None:
    """Refuse techniques that take hold of the same thing, or of things that exclude each other.

    Raises:
        InputError: names the first two that do not go together, and why.
    """
    for (name, technique), (other_name, other) in combinations(techniques.items(), 2):
        reason = conflict(name, technique, other_name, other)
        if reason is not None:
            raise InputError(f"technique=[{name},{other_name}]: {reason}; choose one of them")


def learner_of(techniques: Mapping[str, Technique]) -> type[NoisyLabelClassifier]:
    """What the techniques train together; one of them at most has a ``learner`` of its own.

    Example:
        >>> from labelnoise.techniques import CoTeaching, EarlyStopping
        >>> learner_of({"early_stop": EarlyStopping()}).__name__
        'NoisyLabelClassifier'
        >>> learner_of({"early_stop": EarlyStopping(), "co": CoTeaching(0.2)}).__name__
        'TwoNetworkClassifier'
    """
    learners = [t.learner for t in techniques.values() if t.learner is not None]
    assert len(learners) <= 1, "techniques with a learner have one role, which one of them can have"
    return learners[0] if learners else NoisyLabelClassifier

"""Whether the true labels of a data set are known, and the refusal of all that needs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeVar, get_args

from labelnoise.errors import InputError

Labels = TypeVar("Labels")
Truth = Literal["made", "given", "unknown"]
TRUTHS: tuple[Truth, ...] = get_args(Truth)

# What a technique can only be told where the true labels are known.
FROM_TRUE_LABELS = ("true labels", "transition matrix")


class UnknownTruth(InputError):
    """The true labels are not known, so that clean and noisy samples cannot be told apart.

    Args:
        needed_by: what asked for them.
        fact: what it asked for.

    Example:
        >>> str(UnknownTruth("monitor=gradients")).partition(":")[0]
        'monitor=gradients needs the true labels, and those of these data are not known'
    """

    def __init__(self, needed_by: str = "this", fact: str = "true labels") -> None:
        needs = "the true labels" if fact == "true labels" else f"the {fact} from the true labels"
        super().__init__(
            f"{needed_by} needs {needs}, and those of these data are not known: choose another "
            "option, leave it out, or write data.truth=folders if the folders' names are the true "
            "labels"
        )


def known(clean_label: Labels | None) -> Labels:
    """The true labels themselves.

    Raises:
        UnknownTruth: there are none.
    """
    if clean_label is None:
        raise UnknownTruth
    return clean_label


def check_truth(truth: Truth, told: Mapping[str, Iterable[str]]) -> None:
    """Refuse, before training, what needs true labels that are not known.

    Args:
        truth: of the training labels.
        told: by choice, ``"technique=early_stop"`` say, the facts that it is told or looks at.

    Raises:
        UnknownTruth: names the first choice that needs them.

    Example:
        >>> check_truth("unknown", {"technique=co_teaching": ["noise rate"]})
        >>> check_truth("made", {"technique=early_stop": ["true labels"]})
    """
    if truth != "unknown":
        return
    for choice, facts in told.items():
        for fact in facts:
            if fact in FROM_TRUE_LABELS:
                raise UnknownTruth(choice, fact)

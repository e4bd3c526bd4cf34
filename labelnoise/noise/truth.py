"""Whether the true labels are known, and the error if something needs unknown true labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeVar, get_args

from labelnoise.errors import InputError

Labels = TypeVar("Labels")
Truth = Literal["made", "given", "unknown"]
TRUTHS: tuple[Truth, ...] = get_args(Truth)

# Oracle knowledge that needs known true labels.
FROM_TRUE_LABELS = ("true labels", "transition matrix")


class UnknownTruth(InputError):
    """The true labels are unknown, so clean and noisy samples cannot be distinguished.

    Args:
        needed_by: the option that needs the fact.
        fact: the required fact.

    Example:
        >>> str(UnknownTruth("monitor=gradients")).partition(":")[0]
        'monitor=gradients needs the true labels, but the true labels of these data are unknown'
    """

    def __init__(self, needed_by: str = "this", fact: str = "true labels") -> None:
        needs = "the true labels" if fact == "true labels" else f"the {fact} from the true labels"
        super().__init__(
            f"{needed_by} needs {needs}, but the true labels of these data are unknown: choose "
            "another option, leave it out, or write data.truth=folders if the folder names are the "
            "true labels, or data.truth=labels if the labels in a table of features are"
        )


def known(clean_label: Labels | None) -> Labels:
    """The true labels.

    Raises:
        UnknownTruth: they are None.
    """
    if clean_label is None:
        raise UnknownTruth
    return clean_label


def check_truth(truth: Truth, needs: Mapping[str, Iterable[str]]) -> None:
    """Refuse, before training, choices that need unknown true labels.

    Args:
        truth: the ``truth`` of the training labels.
        needs: the facts that each choice, such as ``"technique=early_stop"``, uses.

    Raises:
        UnknownTruth: names the first choice that needs the true labels.

    Example:
        >>> check_truth("unknown", {"technique=co_teaching": ["noise rate"]})
        >>> check_truth("made", {"technique=early_stop": ["true labels"]})
    """
    if truth != "unknown":
        return
    for choice, facts in needs.items():
        for fact in facts:
            if fact in FROM_TRUE_LABELS:
                raise UnknownTruth(choice, fact)

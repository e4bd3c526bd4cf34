"""The names that a misspelt word may mean."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

# Names that other programs give to our options.
OTHER_NAMES = {
    "arch": "model",
    "batch": "batch_size",
    "bs": "batch_size",
    "dataset": "data",
    "epochs": "max_epochs",
    "gpus": "trainer.devices",
    "iterations": "max_steps",
    "learning_rate": "optimizer.lr",
    "loss": "technique",
    "method": "technique",
    "network": "model",
    "noise_level": "noise_rate",
    "noise_ratio": "noise_rate",
    "noise_type": "noise",
    "num_epochs": "max_epochs",
    "optim": "optimizer",
    "steps": "max_steps",
    "wd": "optimizer.weight_decay",
}
MOST = 3  # names in a line


def nearest(word: str, names: Iterable[str]) -> list[str]:
    """The names that are spelt almost as ``word``, the nearest first.

    Example:
        >>> nearest("earlystop", ["early_stop", "elr", "none"]), nearest("x", ["elr"])
        (['early_stop'], [])
    """
    by_lower = {name.lower(): name for name in names}
    if (same := by_lower.get(word.lower())) is not None:
        return [same]
    found = get_close_matches(word.lower(), by_lower, n=MOST, cutoff=0.75)
    return [by_lower[name] for name in found]


def meant(key: str, keys: Collection[str]) -> list[str]:
    """The keys of a configuration that a key which does not exist may mean.

    They are, in this order: our key for another program's name; the keys beside it that are spelt
    almost so, and the keys with this last part; all keys that are spelt almost so.

    Example:
        >>> keys = ["noise_rate", "optimizer.lr", "technique.elr.beta"]
        >>> [meant(key, keys) for key in ("noise_rat", "lr", "technique.elr.bta", "x")]
        [['noise_rate'], ['optimizer.lr'], ['technique.elr.beta'], []]
    """
    other = OTHER_NAMES.get(key)
    if other in keys:
        return [str(other)]
    parent, _, last = key.rpartition(".")
    beside = {each.rpartition(".")[2]: each for each in keys if each.rpartition(".")[0] == parent}
    found = [beside[name] for name in nearest(last, beside)]
    found += [each for each in keys if each.rpartition(".")[2] == last]
    if found:
        return found[:MOST]
    by_last = {each.rpartition(".")[2]: each for each in reversed([*keys])}
    whole = [] if parent else nearest(key, keys)
    return whole or [by_last[name] for name in nearest(last, by_last)]


def did_you_mean(names: Collection[str]) -> str:
    """A question for the end of a line; empty without names.

    Example:
        >>> did_you_mean(["a", "b"]), did_you_mean([])
        (', did you mean a or b?', '')
    """
    return f", did you mean {' or '.join(names)}?" if names else ""


def keys_of(node: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The paths of all options of a configuration, also those of mappings, without targets."""
    found: list[str] = []
    for key, value in node.items():
        if key in ("_target_", "_partial_"):
            continue
        found.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            found += keys_of(value, f"{prefix}{key}.")
    return found

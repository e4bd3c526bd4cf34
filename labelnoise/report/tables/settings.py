"""Distinguish runs by their resolved configurations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from labelnoise.config import CONF_DIR
from labelnoise.config.composition import NOT_PART_OF_THE_RUN
from labelnoise.files.plain_yaml import read_yaml

Run = TypeVar("Run")
Settings = dict[str, Any]

# Groups that can have several nodes, by name.
_LISTS = ("technique", "monitor")


def settings_of(config: Mapping[str, Any]) -> Settings:
    """A flat configuration of a run: choices, then top-level keys, then options by their path.

    Options that are null are left out. ``noise_rate`` is left out if the label noise does not read
    it, as with noise=human. Lists become words.

    Args:
        config: the resolved configuration, as in .hydra/config.yaml.

    Example:
        >>> settings_of({"noise": {"_target_": "labelnoise.noise.NoNoise", "seed": 1}, "seed": 1,
        ...              "technique": {"gce": {"q": 0.7}}, "noise_rate": 0.2, "name": "a"})
        {'noise': 'none', 'technique': 'gce', 'seed': 1, 'noise.seed': 1, 'technique.gce.q': 0.7}
    """
    config = {k: v for k, v in config.items() if k not in NOT_PART_OF_THE_RUN}
    nodes = {k: v for k, v in config.items() if isinstance(v, Mapping)}
    keys = {k: v for k, v in config.items() if k not in nodes}
    if not reads_noise_rate(config):
        keys.pop("noise_rate", None)
    choices = {group: _choice(group, node) for group, node in nodes.items()}
    # Without the rules of a preset: the values that it sets are already in the options.
    options = {
        path: value
        for group, node in nodes.items()
        if group != "technique_preset"
        for path, value in _flat(node, f"{group}.").items()
        if path != f"{group}._target_"  # the choice names it
    }
    return {k: v for k, v in {**choices, **keys, **options}.items() if v is not None}


def reads_noise_rate(config: Mapping[str, Any]) -> bool:
    """Whether an option of the label noise has the value of the top-level ``noise_rate``.

    Example:
        >>> rates = {"tau_plus": 0.4, "tau_minus": 0.0, "seed": 0}
        >>> [reads_noise_rate({"noise_rate": r, "noise": rates}) for r in (0.2, 0.4)]
        [False, True]
    """
    noise = config.get("noise") or {}
    # In a saved configuration the interpolation is replaced by its value.
    own = [v for k, v in noise.items() if k != "seed" and isinstance(v, int | float)]
    return config.get("noise_rate") in own


def _flat(node: Mapping[str, Any], prefix: str) -> Settings:
    found: Settings = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        # A technique of the user's own can have the name of another one.
        elif key != "_partial_" and not (key == "_target_" and value.startswith("labelnoise.")):
            listed = isinstance(value, list | tuple)
            found[f"{prefix}{key}"] = f"[{','.join(map(str, value))}]" if listed else value
    return found


def _choice(group: str, node: Mapping[str, Any]) -> str:
    """The name of a part: the only file in conf with its class, else the name of the class.

    A class without a file has its whole path, because other modules can have a class of that name.
    """
    if group == "technique_preset":
        return str(node.get("name", "none"))
    if group in _LISTS:
        names = [*map(str, node)]
        return f"[{','.join(names)}]" if len(names) > 1 else "".join(names) or "none"
    target = str(node.get("_target_", ""))
    files = _files(group).get(target, ())
    if not files:
        return target or "none"
    return files[0] if len(files) == 1 else target.rpartition(".")[2]


@cache
def _files(group: str) -> dict[str, tuple[str, ...]]:
    """The files of conf/GROUP by class."""
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted(Path(CONF_DIR, group).glob("*.yaml")):
        target = _target_in(path)
        found[target] = (*found.get(target, ()), path.stem)
    return found


def _target_in(path: Path) -> str:
    """The class in a file of conf, or in the first file of its defaults."""
    node = read_yaml(path)
    target = node.get("_target_") or (node.get(path.parent.name) or {}).get("_target_")
    if target is not None or "defaults" not in node:
        return str(target)
    first = next(name for name in node["defaults"] if isinstance(name, str))
    return _target_in(path.with_name(f"{first.partition('@')[0]}.yaml"))


def telling_keys(found: Sequence[Settings], always: Collection[str] = ()) -> list[str]:
    """The keys that distinguish settings.

    A key is chosen if it separates runs that the keys before it do not separate. An option that
    only follows another key, as ``noise.rate`` follows ``noise_rate``, is not chosen.

    Args:
        found: the settings; the keys of the first runs come first.
        always: keys that are always chosen.

    Example:
        >>> telling_keys([{"a": 1, "b": 1, "c": 3}, {"a": 2, "b": 2, "c": 3}])
        ['a']
    """
    keys = list(dict.fromkeys(key for settings in found for key in settings))
    chosen = [key for key in keys if key in always]
    parts = [_values(settings, chosen) for settings in found]
    for key in _in_order(keys):
        if key in chosen:
            continue
        finer = [(*p, *_values(s, [key])) for p, s in zip(parts, found, strict=True)]
        if len(set(finer)) > len(set(parts)):
            chosen.append(key)
            parts = finer
    return chosen


def _values(settings: Settings, keys: Iterable[str]) -> tuple[Any, ...]:
    """The values of the keys; 1 equals 1.0 but not true."""
    found = (settings.get(key) for key in keys)
    return tuple(
        float(v) if isinstance(v, int | float) and not isinstance(v, bool) else str(v)
        for v in found
    )


def _in_order(keys: Iterable[str]) -> list[str]:
    """Keys without a dot first, then options, which have a dot in their path."""
    return sorted(keys, key=lambda key: "." in key)


def named(settings: Settings, keys: Iterable[str]) -> str:
    """A setting in words, with the keys that it has.

    Example:
        >>> named({"noise": "human"}, ["noise", "noise_rate"]), named({}, ["noise"])
        ('noise=human', 'all runs')
    """
    return " ".join(f"{key}={settings[key]}" for key in keys if key in settings) or "all runs"


def without_seeds(found: Sequence[Settings]) -> list[Settings]:
    """The settings without the seed and without seeds that equal it in every run.

    Example:
        >>> without_seeds([{"seed": s, "model.seed": s, "noise.seed": 0} for s in (0, 1)])
        [{'noise.seed': 0}, {'noise.seed': 0}]
    """
    seeds = {key for settings in found for key in settings if key.endswith("seed")}
    follow = {
        key for key in seeds if all(s.get(key, s.get("seed")) == s.get("seed") for s in found)
    }
    return [{k: v for k, v in s.items() if k not in follow} for s in found]


def by_setting(
    runs: Iterable[Run],
    config_of: Callable[[Run], Mapping[str, Any]],
    compared: Collection[str] = (),
) -> dict[str, list[Run]]:
    """Group runs that differ only in the seed; a group is named by the options that differ.

    Runs may also differ in the groups ``compared``, for example ``("technique",)``, and in their
    options.

    Args:
        runs: the runs of sweeps.
        config_of: returns the resolved configuration of a run.
        compared: groups of the configuration to ignore.

    Example:
        >>> configs = [{"noise_rate": r, "noise": {"rate": r}, "seed": s}
        ...            for r in (0.1, 0.2) for s in (0, 1)]
        >>> {name: len(group) for name, group in by_setting(configs, lambda c: c).items()}
        {'noise_rate=0.1': 2, 'noise_rate=0.2': 2}
    """
    members = list(runs)
    found = [
        {k: v for k, v in settings.items() if k.split(".")[0] not in compared}
        for settings in without_seeds([settings_of(config_of(run)) for run in members])
    ]
    keys = telling_keys(found)
    names: dict[tuple[Any, ...], str] = {}
    groups: dict[str, list[Run]] = {}
    for run, settings in zip(members, found, strict=True):
        name = names.setdefault(_values(settings, keys), named(settings, keys))
        groups.setdefault(name, []).append(run)
    return groups


def technique_names(configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The techniques of each run, with the options that differ between the runs.

    Example:
        >>> gce = [{"technique": {"gce": {"q": q, "x": 1}}} for q in (0.5, 0.7)]
        >>> technique_names([{"technique": {}}, *gce])
        ['none', 'gce technique.gce.q=0.5', 'gce technique.gce.q=0.7']
    """
    found = [
        {k: v for k, v in settings.items() if k.split(".")[0] == "technique"}
        for settings in without_seeds([settings_of(config) for config in configs])
    ]
    keys = telling_keys(found, always=("technique",))
    return [named(settings, keys).removeprefix("technique=") for settings in found]

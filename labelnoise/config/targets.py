"""The classes and functions that a configuration may name, and the function that creates them.

A configuration can come from another person: ``resume=DIR`` and ``report attribution DIR`` read the
configuration in DIR. A ``_target_`` must therefore be in a list before its module is imported. The
module that defines the object must be in the list, not only the path:
``torch.nn.modules.module.torch.load`` is defined in torch.serialization, which is not in the list.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from importlib import import_module
from types import ModuleType
from typing import Any

from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, OmegaConf

from labelnoise.config.own_parts import make_importable
from labelnoise.errors import InputError

# A path must begin with one of these.
_ROOTS = (
    "labelnoise",
    "pytorch_lightning",
    "torch.nn",
    "torch.optim",
    "torchmetrics",
    "torchvision.models",
)
_CLASSES, _FUNCTIONS, _BOTH, _NEITHER = "class", "function", "class function", ""
# For each defining module, whether classes or functions are allowed; the longest entry applies. Few
# functions are allowed, because some write files (labelnoise.files) or read pickles
# (torch.serialization).
_DEFINED: dict[str, str] = {
    "labelnoise.audit.predictions": _CLASSES,
    "labelnoise.data": _CLASSES,
    "labelnoise.losses": _FUNCTIONS,
    "labelnoise.models": _CLASSES,
    "labelnoise.monitors": _CLASSES,
    "labelnoise.noise": _CLASSES,
    "labelnoise.techniques": _CLASSES,
    "lightning_fabric.plugins": _CLASSES,  # under the names of pytorch_lightning.plugins
    "pytorch_lightning.callbacks": _CLASSES,
    "pytorch_lightning.loggers": _CLASSES,
    "pytorch_lightning.plugins": _CLASSES,
    "pytorch_lightning.profilers": _CLASSES,
    "pytorch_lightning.strategies": _CLASSES,
    "pytorch_lightning.trainer": _CLASSES,
    "torch.nn.functional": _FUNCTIONS,
    "torch.nn.modules": _CLASSES,
    "torch.optim": _CLASSES,
    "torchmetrics": _CLASSES,
    # Metrics that can load a network from a path in the configuration.
    "torchmetrics.audio": _NEITHER,
    "torchmetrics.image": _NEITHER,
    "torchmetrics.multimodal": _NEITHER,
    "torchmetrics.text": _NEITHER,
    "torchmetrics.video": _NEITHER,
    "torchvision.models": _BOTH,
    "torchvision.models.feature_extraction": _NEITHER,  # compiles code from names
}
_ADVICE = (
    "a configuration may name parts of labelnoise, torch.nn, torch.optim, torchvision.models, "
    "torchmetrics and Lightning's Trainer, loggers, callbacks, strategies, profilers and plugins; "
    "allow your own modules by allow_targets=[my_project]"
)
# At least two names; a name must not begin with an underscore.
_PATH = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", re.ASCII)


def instantiate(node: Any, allowed: Sequence[str] | None = None, **arguments: Any) -> Any:
    """Create the part that ``node`` describes, by Hydra's rules, if every ``_target_`` is allowed.

    Args:
        node: a mapping with ``_target_``.
        allowed: additional modules, ``allow_targets`` of the command line.
        arguments: arguments of the target in addition to those in ``node``.

    Raises:
        InputError: a target is not allowed or does not exist.

    Example:
        >>> instantiate({"_target_": "torch.nn.Linear", "in_features": 2}, out_features=3)
        Linear(in_features=2, out_features=3, bias=True)
        >>> instantiate({"_target_": "os.system", "command": "ls"})
        Traceback (most recent call last):
        ...
        labelnoise.errors.InputError: _target_=os.system is not allowed: ...
    """
    resolved = OmegaConf.create(node) if isinstance(node, dict) else deepcopy(node)
    if isinstance(node, DictConfig):
        resolved._set_parent(node._get_parent())  # so that errors name the path
    OmegaConf.resolve(resolved)
    for path, part in nodes(OmegaConf.to_container(resolved)):
        find(part["_target_"], allowed, path)
    return hydra_instantiate(resolved, **arguments)


def check_targets(cfg: DictConfig) -> None:
    """Refuse a ``_target_`` outside the list, at any depth of ``cfg``, without importing it.

    Raises:
        InputError: names the path, the target and the allowed modules.
    """
    allowed = allowed_modules(cfg)
    for path, part in nodes(OmegaConf.to_container(cfg, resolve=True)):
        _check_path(part["_target_"], allowed, path)


def allowed_modules(cfg: DictConfig) -> list[str]:
    """The modules in ``allow_targets``.

    Raises:
        InputError: it is not a list of modules.
    """
    if "allow_targets" not in cfg:
        return []
    named = cfg.allow_targets
    if not OmegaConf.is_list(named) or not all(
        isinstance(module, str) and _PATH.fullmatch(f"{module}.x") for module in named
    ):
        raise InputError(f"allow_targets must be a list of modules as [my_project], got {named}")
    return [str(module) for module in named]


def nodes(tree: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping with a ``_target_`` in plain containers, at any depth, with its path.

    Raises:
        InputError: an unresolved interpolation, which could later become any value.

    Example:
        >>> found = nodes({"a": [{"_target_": "x.y", "b": {"_target_": "x.z"}}]})
        >>> [(path, node["_target_"]) for path, node in found]
        [('a.0', 'x.y'), ('a.0.b', 'x.z')]
    """
    if isinstance(tree, str) and "${" in tree:
        raise InputError(f"{path} is {tree}, but an interpolation is not allowed: write a value")
    if isinstance(tree, dict) and "_target_" in tree:
        yield path, tree
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(tree, dict | list):
        children = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in children:
        yield from nodes(value, f"{path}.{key}" if path else str(key))


def find(target: Any, allowed: Sequence[str] | None = None, path: str = "") -> Any:
    """The class or function that ``target`` names.

    Raises:
        InputError: the target is not allowed or does not exist.

    Example:
        >>> find("torch.optim.SGD").__name__
        'SGD'
    """
    allowed = tuple(allowed or ())
    _check_path(target, allowed, path)
    where = f"{path}._target_" if path else "_target_"
    if any(_within(target, own) for own in allowed):
        make_importable()
    *modules, name = str(target).split(".")
    holder = _module(modules, where, target)
    try:
        found = getattr(holder, name)
    except AttributeError:
        raise InputError(
            f"{where}={target} does not exist in {holder.__name__}, which has: "
            f"{', '.join(_parts_in(holder)) or 'no classes'}"
        ) from None
    defined = str(getattr(found, "__module__", None))
    kind = "class" if inspect.isclass(found) else "function"
    if not (inspect.isclass(found) or inspect.isfunction(found)) or "." in found.__qualname__:
        raise InputError(f"{where}={target} is not a class or a function of a module")
    if kind not in _allowed_in(defined, allowed):
        raise InputError(
            f"{where}={target} is the {kind} {found.__name__} of {defined}, which is not allowed: "
            f"{_ADVICE}"
        )
    return found


def _parts_in(holder: ModuleType) -> list[str]:
    """The names of the classes and functions of a module, sorted."""
    parts = vars(holder).items()
    return sorted(
        name
        for name, part in parts
        if not name.startswith("_") and (inspect.isclass(part) or inspect.isfunction(part))
    )


def _check_path(target: Any, allowed: Sequence[str], path: str) -> None:
    where = f"{path}._target_" if path else "_target_"
    if not isinstance(target, str) or not _PATH.fullmatch(target):
        raise InputError(
            f"{where} must be a class or function as my_project.models.MyNetwork, got {target}"
        )
    if not any(_within(target, root) for root in (*_ROOTS, *allowed)):
        raise InputError(f"{where}={target} is not allowed: {_ADVICE}")


def _module(names: Sequence[str], where: str, target: str) -> ModuleType:
    """The module, found as in Hydra: attributes first. Each name must be a module of that name."""
    found: Any = None
    for end in range(1, len(names) + 1):
        name = ".".join(names[:end])
        try:
            found = getattr(found, names[end - 1], None) or import_module(name)
        except (ImportError, SyntaxError) as error:
            raise _not_imported(where, target, error) from error
        if not isinstance(found, ModuleType) or found.__name__ != name:
            raise InputError(f"{where}={target} is not a class or a function of a module")
    return found


def _not_imported(where: str, target: str, error: ImportError | SyntaxError) -> InputError:
    line = f"{where}={target} cannot be imported: {error}"
    if getattr(error, "name", None) == target.partition(".")[0]:
        line += ", write the command in the folder that has it, or add this folder to PYTHONPATH"
    return InputError(line)


def _allowed_in(module: str, allowed: Sequence[str]) -> str:
    """ "class", "function", both or neither, for objects defined in ``module``."""
    if any(_within(module, own) for own in allowed):
        return _BOTH
    entries = [entry for entry in _DEFINED if _within(module, entry)]
    return _DEFINED[max(entries, key=len)] if entries else _NEITHER


def _within(path: str, module: str) -> bool:
    return path == module or path.startswith(f"{module}.")

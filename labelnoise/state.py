"""A base class for objects with a state in checkpoints, declared by the names of attributes."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor


class Stateful:
    """Saves and restores the attributes that ``state`` names, so that a run resumes bit for bit.

    A subclass names its own attributes; the attributes of its bases are included. Values are None,
    text, numbers, tensors, lists and dicts of these, or Stateful objects, alone or in a tuple. A
    Stateful object must exist before it is restored.

    Example:
        >>> class Best(Stateful):
        ...     state = ("lowest", "steps")
        ...     def __init__(self):
        ...         self.lowest, self.steps = 1.0, [3]
        >>> saved = Best().state_dict()
        >>> saved
        {'lowest': 1.0, 'steps': [3]}
        >>> resumed = Best()
        >>> resumed.load_state_dict({"lowest": 0.5, "steps": [3, 4]})
        >>> resumed.lowest, resumed.steps
        (0.5, [3, 4])
    """

    state: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def state_names(cls) -> list[str]:
        """The names of the saved attributes, those of the bases first."""
        return [name for base in reversed(cls.__mro__) for name in vars(base).get("state", ())]

    def state_dict(self) -> dict[str, Any]:
        """Copies of the values by name."""
        return {name: _saved(getattr(self, name)) for name in self.state_names()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict`."""
        for name in self.state_names():
            _restore(self, name, state_dict[name])


def _saved(value: Any) -> Any:
    if isinstance(value, Stateful):
        return value.state_dict()
    if isinstance(value, (list, tuple)):
        return [_saved(item) for item in value]
    if isinstance(value, Tensor):
        return value.clone()
    return dict(value) if isinstance(value, dict) else value


def _restore(owner: Stateful, name: str, value: Any) -> None:
    part = getattr(owner, name)
    if isinstance(part, Stateful):
        part.load_state_dict(value)
    elif isinstance(part, tuple):
        for inner, state in zip(part, value, strict=True):
            inner.load_state_dict(state)
    else:
        setattr(owner, name, list(value) if isinstance(value, list) else value)

"""Docstrings for the site: the section Example as Griffe knows it, and names without roles."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):`~?([^`]+)`")


class Docstrings(Extension):
    """Called by Griffe for each function, class and module."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            text = _ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = re.sub(r"^( *)Example:", r"\1Examples:", text, flags=re.M)

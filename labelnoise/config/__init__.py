"""Read and check the YAML files in conf/ and the words of the command line, without torch."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_INSIDE, _BESIDE = _PACKAGE / "conf", _PACKAGE.with_name("conf")
# In an installed wheel conf/ is in the package. In the repository it is beside the package.
CONF_DIR = _INSIDE if _INSIDE.is_dir() else _BESIDE

"""Read and check the YAML files in conf/ and the words of the command line, without torch."""

from __future__ import annotations

from pathlib import Path

CONF_DIR = Path(__file__).resolve().parents[2] / "conf"

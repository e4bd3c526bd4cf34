"""What tests of several data modules use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.folders import write_folders


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folders train and test with the classes cat, dog, eel."""
    return write_folders(tmp_path)

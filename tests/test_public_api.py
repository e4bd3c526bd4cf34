from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
PICTURES = {"phase_diagrams.ipynb": 3, "two_stages.ipynb": 4}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the kernel's own libraries
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_runs_from_top_to_bottom(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": path.parent}}).execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == PICTURES[path.name]


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS] == sorted(PICTURES)


def test_public_names_are_what_they_say_in_any_order() -> None:
    """A module of the same name would take a function's place once something imports it."""
    import labelnoise.training.train

    for name in labelnoise.__all__:
        value = getattr(labelnoise, name)
        assert name == "__version__" or callable(value), name

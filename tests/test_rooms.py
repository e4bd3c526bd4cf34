"""The rooms (sub-packages) of the package: imports go only from upper to lower rooms."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import labelnoise

PACKAGE = Path(labelnoise.__file__).parent
# A module imports only from its own room and from lower rooms. Commands are outside the package,
# except `python -m labelnoise.report`, which imports its functions when they are called.
ROOMS = """
    doors
    audit
    sweeps phase_diagram attribution review
    training
    report
    techniques
    monitors
    measures stoppers
    learner
    data
    selection
    dynamics models losses theory noise
    run_directory
    config
    files
    seeding processes state checks
    errors
""".strip()
LEVEL = {room: level for level, line in enumerate(ROOMS.splitlines()) for room in line.split()}
MOST_ROOMS = 28


def test_imports_go_one_way() -> None:
    upwards = [
        f"{module} imports {imported}"
        for module, imported in imports()
        if room_of(module) != room_of(imported)
        and LEVEL[room_of(module)] >= LEVEL[room_of(imported)]
    ]
    assert not upwards


def test_no_module_imports_itself_through_others() -> None:
    below: dict[str, set[str]] = {}
    for module, imported in imports():
        below.setdefault(module, set()).add(imported)
    ended: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in ended:
            for imported in below.get(module, ()):
                walk(imported, (*path, module))
            ended.add(module)

    for module in below:
        walk(module, ())


def test_every_room_is_on_the_list_and_they_are_few() -> None:
    found = {path.stem for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    found |= {path.stem for path in PACKAGE.glob("[!_]*.py")}
    assert found == LEVEL.keys()
    assert len(found) <= MOST_ROOMS


def test_the_design_page_shows_the_same_rooms_in_the_same_order() -> None:
    page = (PACKAGE.parent / "docs" / "design.md").read_text()
    page = page.split("## Rooms")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert [re.findall(r"`(\w+)`", row) for row in rows] == [r.split() for r in ROOMS.splitlines()]


def imports() -> Iterator[tuple[str, str]]:
    """Every import of one module of the package by another, also those within functions."""
    modules = {name_of(path): path for path in PACKAGE.rglob("*.py")}
    for module, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                parts = [f"{node.module}.{alias.name}" for alias in node.names]
                found = [part if part in modules else node.module for part in parts]
            else:
                continue
            for imported in found:
                if imported.startswith("labelnoise.") and imported != module:
                    yield module, imported


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module

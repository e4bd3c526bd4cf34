"""The recipes of CONTRIBUTING.md, performed in a copy of the repository."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
KINDS = [
    "A loss", "A technique", "A selection rule", "A stopping rule", "A monitor", "A model",
    "A data set", "A noise kind", "A report",
]  # fmt: skip
MOST_FILES = 4
PLACE = re.compile(r"`(?P<path>[^`]+)`(?: \((?:(?P<append>append)|after `(?P<line>.+)`)\))?")


class Block(NamedTuple):
    """A text that a recipe writes: a new file, text to append, or text after a given line."""

    path: str
    append: bool
    line: str | None
    text: str

    def write(self, root: Path) -> None:
        path = root / self.path
        if self.append:
            path.write_text(f"{path.read_text()}\n\n{self.text}")
        elif self.line is not None:
            lines = path.read_text().splitlines(keepends=True)
            assert lines.count(f"{self.line}\n") == 1, f"{self.path} has no one line {self.line}"
            # ruff, which formats CONTRIBUTING.md too, leaves no block to begin with empty lines.
            between = "\n\n" if self.text.startswith(("def ", "class ", "@")) else ""
            lines.insert(lines.index(f"{self.line}\n") + 1, between + self.text)
            path.write_text("".join(lines))
        else:
            assert not path.exists(), f"{self.path} is there already"
            path.write_text(self.text)


class Recipe(NamedTuple):
    """A section's blocks, and its commands."""

    blocks: list[Block]
    commands: list[str]

    @property
    def paths(self) -> list[str]:
        return list(dict.fromkeys(block.path for block in self.blocks))


def recipes(text: str) -> dict[str, Recipe]:
    """By heading, those below "## Recipes"."""
    _, _, rest = text.partition("\n## Recipes\n")
    sections = re.split(r"^### ", rest.partition("\n## ")[0], flags=re.MULTILINE)[1:]
    found = {}
    for section in sections:
        heading, _, body = section.partition("\n")
        blocks, commands = [], []
        for before, language, content in fences(body):
            if language == "sh":
                commands += content.replace("\\\n", "").splitlines()
                continue
            place = PLACE.fullmatch(before)
            assert place, f"{heading}: no path before a block of {language}, but {before}"
            blocks.append(Block(place["path"], bool(place["append"]), place["line"], content))
        found[heading] = Recipe(blocks, commands)
    return found


def fences(text: str) -> Iterator[tuple[str, str, str]]:
    """Each fenced block: the line of text before it, its language and its content."""
    before = ""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("```"):
            content = []
            for inner in lines:
                if inner == "```":
                    break
                content.append(f"{inner}\n")
            yield before, line.removeprefix("```"), "".join(content)
        elif line:
            before = line


RECIPES = recipes((ROOT / "CONTRIBUTING.md").read_text())


def test_every_kind_of_part_has_a_recipe_of_few_files() -> None:
    assert list(RECIPES) == KINDS
    for kind, recipe in RECIPES.items():
        assert 0 < len(recipe.paths) <= MOST_FILES, kind
        assert any(path.startswith("tests/") for path in recipe.paths), kind
        assert any("-m pytest" in command for command in recipe.commands), kind
        assert any(command.startswith("python run.py ") for command in recipe.commands), kind
        for block in recipe.blocks:
            new = block.line is None and not block.append
            assert (ROOT / block.path).exists() != new, f"{kind}: {block.path}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_recipe_works(kind: str, tmp_path: Path) -> None:
    root = copy_of_the_repository(tmp_path / "copy")
    recipe = RECIPES[kind]
    for block in recipe.blocks:
        block.write(root)
    python = [path for path in recipe.paths if path.endswith(".py")]
    where = perform(["python", "-c", "import labelnoise; print(labelnoise.__file__)"], root)
    assert Path(where.strip()) == root / "labelnoise" / "__init__.py"
    perform(["python", "-m", "ruff", "check", "--no-cache", *python], root)
    perform(["python", "-m", "ruff", "format", "--no-cache", "--check", "--diff", *python], root)
    for command in recipe.commands:
        perform(shlex.split(command), root)


def copy_of_the_repository(place: Path) -> Path:
    """Its files as they are now, without data and outputs."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("git tells which files are the repository's")
    for name in done.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes((ROOT / name).read_bytes())
    return place


def perform(words: list[str], root: Path) -> str:
    """Run a command in the copy with the package of the copy; returns its output."""
    assert words[0] == "python", words
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    said = f"{shlex.join(words)}\n{done.stdout[-5000:]}\n{done.stderr[-5000:]}"
    assert done.returncode == 0, said
    assert "pytest" not in words or re.search(r"\b[1-9]\d* passed", done.stdout), said
    return done.stdout

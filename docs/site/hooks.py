"""Pages of the site that are made from other files: README, changelog, options and API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# The pages that are files of the repository outside docs/.
ELSEWHERE = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
# The groups of conf/ in the order of the page, with the commands that read them.
GROUPS = {
    "data": "run.py and audit.py",
    "noise": "run.py and audit.py",
    "model": "run.py and audit.py",
    "technique": "run.py and audit.py; several as technique=[a,b]",
    "monitor": "run.py and audit.py; several as monitor=[a,b]",
    "optimizer": "run.py and audit.py",
    "scheduler": "run.py and audit.py",
    "trainer": "run.py and audit.py",
    "logger": "run.py and audit.py; several as logger=[a,b]",
    "experiment": "run.py",
    "technique_preset": "run.py",
    "diagram": "phase_diagram.py",
}
# The rooms of the page of the API.
ROOMS = ("theory", "noise", "losses", "selection", "stoppers", "models", "techniques", "monitors")

# The search of pages from the disk needs this script. The theme would load it from another host.
ASSETS = ("iframe-worker.js", "extra.css", "extra.js")
SHIM, OWN_SHIM = "https://unpkg.com/iframe-worker/shim", "assets/iframe-worker.js"

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_OPTION = re.compile(
    r"^(?P<indent> *)(?P<key>'?[\w]+'?):(?: +(?P<value>[^#]*?))?(?: +# ?(?P<words>.*))?$"
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not files of docs/."""
    pages = {name: (ROOT / path).read_text("utf-8") for name, path in ELSEWHERE.items()}
    pages |= {"options.md": options_page(), "api.md": api_page()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    for name in ASSETS:
        text = Path(__file__).with_name(name).read_text("utf-8")
        files.append(File.generated(config, f"assets/{name}", content=text))
    return files


def on_post_page(output: str, **_: Any) -> str:
    """Load the script of the search from the site, and name the search for screen readers."""
    return output.replace(SHIM, OWN_SHIM).replace(
        'role="dialog"', 'role="dialog" aria-label="Search"'
    )


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Point links between files of the repository to the pages of the site."""
    top = page.file.src_uri in ELSEWHERE
    names = {path: name for name, path in ELSEWHERE.items()}

    def relinked(match: re.Match[str]) -> str:
        picture, words, target = match.groups()
        path, hash_, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", target):
            return match[0]
        place = (
            path
            if top
            else (path.removeprefix("../") if path.startswith("../") else f"docs/{path}")
        )
        if place in names:
            return f"{picture}[{words}]({names[place]}{hash_}{anchor})"
        if place.startswith("docs/") and (ROOT / place).exists():
            return f"{picture}[{words}]({place.removeprefix('docs/')}{hash_}{anchor})"
        if (ROOT / place).exists():
            return (
                f"`{place}`" if words in place else f"{words} (`{place}`)"
            )  # not a page of the site
        return match[0]  # a broken link: mkdocs warns, and the build ends

    return _LINK.sub(relinked, markdown)


def options_page() -> str:
    """Every top-level option, and every choice of every group with its options."""
    parts = [
        "# Options\n\nThis page is made from the files of `conf/`. Set an option by its path, for "
        "example `technique.elr.beta=0.9`. A value as `${seed}` follows another option.\n",
        "## Top-level options\n\nOf `run.py` and `audit.py`.\n",
        _table(ROOT / "conf" / "config.yaml"),
        "\n## Options of an audit\n",
        _table(ROOT / "conf" / "audit.yaml"),
        "\n## Options of a phase diagram\n",
        _table(ROOT / "conf" / "phase_diagram.yaml"),
    ]
    for group, commands in GROUPS.items():
        parts.append(f"\n## {group}\n\nOf {commands}.\n")
        for file in sorted((ROOT / "conf" / group).glob("*.yaml")):
            parts.append(f"\n### {group}={file.stem}\n\n{_words_of(file)}\n\n{_table(file)}")
    return "\n".join(parts)


def _words_of(file: Path) -> str:
    """The comment at the top of a file, as a paragraph."""
    lines = []
    for line in file.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.removeprefix("#").strip())
    return "\n".join(re.sub(r"  (python \S.*)$", r" `\1`", line) for line in lines)


def _table(file: Path) -> str:
    text = file.read_text("utf-8")
    top = file.parent.name == "conf" or "@package _global_" in text
    prefix = "" if top else f"{file.parent.name}."
    rows = [
        f"| `{prefix}{path}` | {f'`{value}`' if value else ''} | {_cell(words)} |"
        for path, value, words in options_in(text)
    ]
    return (
        "\n".join(["| option | default | meaning |", "| --- | --- | --- |", *rows]) if rows else ""
    )


def options_in(text: str) -> Iterator[tuple[str, str, str]]:
    """The options of a file of conf/: path, default and comment."""
    above: list[tuple[int, str]] = []
    skipped: int | None = None  # the indentation of a part that is not for users
    for line in text.splitlines():
        found = _OPTION.match(line)
        indent = len(line) - len(line.lstrip())
        if skipped is not None and (indent > skipped or line.lstrip().startswith("-")):
            continue
        skipped = None
        if not found:
            continue
        key, value = found["key"].strip("'"), (found["value"] or "").strip()
        while above and above[-1][0] >= indent:
            above.pop()
        if key in ("defaults", "hydra"):
            skipped = indent
            continue
        if key in ("_target_", "_partial_"):
            continue
        above.append((indent, key))
        if value or found["words"]:
            yield ".".join(name for _, name in above), value, found["words"] or ""


def _cell(words: str) -> str:
    return words.replace("|", r"\|").replace("<", "&lt;")


def api_page() -> str:
    """The functions and classes that ``import labelnoise`` offers, and the rooms of the science."""
    import labelnoise

    parts = ["# API\n\n`import labelnoise` offers these names.\n"]
    for name in labelnoise.__all__:
        if name != "__version__":
            value = getattr(labelnoise, name)
            parts.append(f"::: {value.__module__}.{value.__qualname__}\n")
    for room in ROOMS:
        parts.append(f"::: labelnoise.{room}\n")
    return "\n".join(parts)

"""Write a review sheet as one HTML page without a server, a network or other files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from labelnoise.data.memory import in_units
from labelnoise.files.writing import write_text
from labelnoise.review.run import sheet_of_run
from labelnoise.review.sheet import SHOWN, Sheet, spark, top_of


def render(sheet: Sheet) -> str:
    """The page as HTML.

    Every name is escaped by Jinja's autoescape, and by its filter ``tojson`` in the data of the
    script. The policy of the page allows only its own script and style, by their hashes.
    """
    room = files("labelnoise.review")
    style, script = (room.joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = lambda value: f"{value:.3g}"
    top = top_of(sheet)
    page = environment.from_string(room.joinpath("page.html").read_text("utf-8")).render(
        sheet=sheet,
        shown=SHOWN,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        line=lambda losses: " ".join(f"{x},{y}" for x, y in spark(losses, top)),
        data=_data(sheet),
    )
    # Bytes of file names that are not UTF-8 are shown as \udcff.
    return page.encode(errors="backslashreplace").decode()


def report_review(run: Path, top: int = 200, allow_targets: Sequence[str] = ()) -> str:
    """Write RUN/review.html, and return what was written.

    Raises:
        InputError: as in `sheet_of_run`.
    """
    return write_page(sheet_of_run(run, top, allow_targets), run)


def write_page(sheet: Sheet, folder: Path) -> str:
    """Write folder/review.html, and return what was written."""
    path = folder / "review.html"
    write_text(path, page := render(sheet))
    size = in_units(len(page.encode()))
    return (
        f"wrote {path} with {len(sheet.suspects):,} of {sheet.listed:,} samples ({size}): open it "
        "in a browser"
    )


def _data(sheet: Sheet) -> dict[str, Any]:
    """The data of the script."""
    return {
        "fingerprint": sheet.fingerprint,
        "classes": list(sheet.class_names),
        "correctable": sheet.correctable,
        "samples": [
            {"name": s.name, "given": s.given, "suggested": s.suggested} for s in sheet.suspects
        ],
    }


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

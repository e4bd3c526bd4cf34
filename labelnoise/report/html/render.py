"""Write a page as HTML."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from labelnoise.data.memory import in_units
from labelnoise.files.writing import write_text
from labelnoise.report.html.blocks import Page, Picture
from labelnoise.report.pictures import style

# The colours of the figures, for a light page.
COLORS = {
    "signal": style.SIGNAL,
    "clean": style.CLEAN,
    "noisy": style.NOISY,
    "test": style.TEST,
    "all": style.ALL,
} | {f"c{i}": color for i, color in enumerate(style.CYCLE[:8])}


def render(page: Page) -> str:
    """The page as HTML; Jinja's autoescape and its filter ``tojson`` escape every name.

    The policy of the page allows only its own scripts and style, by their hashes, and no requests.
    """
    room = files("labelnoise.report.html")
    sources = {name: room.joinpath(name).read_text("utf-8") for name in ("uplot.js", "page.js")}
    colors = "".join(f"--{name}: {color}; " for name, color in COLORS.items())
    sheet = room.joinpath("page.css").read_text("utf-8").replace("/* colors */", colors)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["inline"] = inline
    environment.filters["anchor"] = lambda title: title.lower().replace(" ", "-")
    text = environment.from_string(room.joinpath("page.html").read_text("utf-8")).render(
        page=page,
        style=Markup(sheet),
        scripts=[Markup(source) for source in sources.values()],
        style_hash=_hash(sheet),
        script_hashes=[_hash(source) for source in sources.values()],
        charts=[chart.data() for chart in page.charts()],
    )
    # Bytes of file names that are not UTF-8 are shown as \udcff.
    return text.encode(errors="backslashreplace").decode()


def write_page(page: Page, path: Path) -> str:
    """Write the page, and return what was written."""
    write_text(path, text := render(page))
    return f"wrote {path} ({in_units(len(text.encode()))}): open it in a browser"


def inline(picture: Picture) -> str:
    """A PNG file as an address that contains it."""
    return "data:image/png;base64," + base64.b64encode(picture.path.read_bytes()).decode()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

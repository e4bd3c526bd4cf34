"""The review page: names are text, keys decide, and the saved file is read back."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from labelnoise.data.corrections import decisions_of, fingerprint_of
from labelnoise.files.tables import escape, read_rows
from labelnoise.review.page import render
from labelnoise.review.sheet import Score, Sheet, Suspect
from tests.chromium import Tab, chromium, needs_chromium

CLASSES = ["<script>alert(1)</script>", "\"&'", "=cmd()", "</SCRIPT><!--", "cat"]
NAMES = ["</script><img src=x onerror=alert(1)>", "-1,2\"x'.png", "__proto__", "{{ 7 * 7 }}", "@é"]


def nasty_sheet() -> Sheet:
    """Sample i has given class i and suggested class i + 1, except that the last agrees."""
    suspects = [
        Suspect(
            name,
            CLASSES[i],
            CLASSES[min(i + 1, len(CLASSES) - 1)],
            [Score("aum", 0.5, 0.9), Score("<b>", 1.0, 0.1)],
            losses=[2.0, 1.0],
            values=[("<i>x</i>", "'\"><script>alert(2)</script>")],
        )
        for i, name in enumerate(NAMES)
    ]
    given = {s.name: s.given for s in suspects}
    fingerprint = fingerprint_of(list(given), list(given.values()))
    return Sheet("<title>&", fingerprint, CLASSES, suspects, 9, [1.0, 0.5])


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text in each kind of element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found:
            self.text.setdefault(self.found[-1][0], []).append(data)


def test_names_are_text_everywhere() -> None:
    sheet = nasty_sheet()
    elements = Elements(render(sheet))
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 2 and "img" not in tags and "b" not in tags and "i" not in tags
    assert not [name for _, found in elements.found for name in found if name.startswith("on")]
    shown = "".join(elements.text["bdi"])
    assert all(name in shown for name in [*NAMES, *CLASSES])
    data = json.loads(elements.text["script"][0])
    assert data["classes"] == CLASSES and [s["name"] for s in data["samples"]] == NAMES


def test_the_policy_allows_only_the_script_and_style_of_the_page() -> None:
    page = render(nasty_sheet())
    for kind, element in (("script-src", "script"), ("style-src", "style")):
        content = re.findall(rf"<{element}>(.*?)</{element}>", page, re.S)[-1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in page.replace("&#43;", "+")
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)=.?https?:", page)


def test_drawn_data_have_no_decisions() -> None:
    sheet = nasty_sheet()
    page = render(Sheet("t", "f", CLASSES, sheet.suspects, 9, correctable=False))
    assert "cannot be corrected" in page
    assert "data-do" not in page.split("<script>")[0] and 'id="save"' not in page


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def opened(tab: Tab, tmp_path: Path) -> Tab:
    """The page of :func:`nasty_sheet` without decisions; it saves into ``tmp_path``."""
    path = tmp_path / "review.html"
    path.write_text(render(nasty_sheet()), encoding="utf-8")
    tab.open(path)
    tab.get("localStorage.clear()")
    tab.open(path)
    tab.save_to(tmp_path)
    tab.problems.clear()
    return tab


def saved(tab: Tab, folder: Path) -> Path:
    """Save by the button, and wait for the file."""
    tab.click("#save")
    file = folder / "corrections.csv"
    tab.wait("document.getElementById('status').textContent.startsWith('Saved')")
    while not file.exists():
        tab.get("new Promise((done) => setTimeout(done, 20))")
    return file


@needs_chromium
@pytest.mark.slow
def test_keys_decide_and_the_saved_file_is_read_back(opened: Tab, tmp_path: Path) -> None:
    opened.press("ArrowRight", "k", "c", "d", "o")
    opened.wait("document.getElementById('choose').open")
    opened.press("ArrowDown", "Enter")  # the choice begins at the suggested class, index 3 of 4
    opened.wait("!document.getElementById('choose').open")
    opened.press("c")  # the network agrees with this label, so nothing changes
    assert opened.get("document.getElementById('count').textContent") == "4 of 5 decided"
    file = saved(opened, tmp_path)
    given = dict(zip(NAMES, CLASSES, strict=True))
    assert decisions_of(file, given, CLASSES) == [
        (NAMES[0], "keep", ""),
        (NAMES[1], "change", CLASSES[2]),
        (NAMES[2], "drop", ""),
        (NAMES[3], "change", CLASSES[4]),
    ]
    assert {row["data"] for row in read_rows(file)} == {nasty_sheet().fingerprint}
    assert opened.problems == []


@needs_chromium
@pytest.mark.slow
def test_decisions_are_kept_in_the_browser_and_can_be_undone(opened: Tab, tmp_path: Path) -> None:
    opened.press("ArrowRight", "d", "k")
    opened.open(tmp_path / "review.html")
    shown = "[...document.querySelectorAll('.said')].map((e) => e.textContent)"
    assert opened.get(shown)[:3] == ["Drop", f"Keep {CLASSES[1]}", "Undecided"]
    opened.press("ArrowRight", "u")
    assert opened.get(shown)[:2] == ["Undecided", f"Keep {CLASSES[1]}"]
    # Letters with a modifier belong to the browser.
    opened.get("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', "
               "{key: 'd', ctrlKey: true, bubbles: true}))")  # fmt: skip
    assert opened.get(shown)[0] == "Undecided"


@needs_chromium
@pytest.mark.slow
def test_filters_show_a_class_or_a_pair(opened: Tab) -> None:
    visible = (
        "[...document.querySelectorAll('.card')].filter((c) => c.offsetParent)"
        ".map((c) => Number(c.dataset.place))"
    )
    change = (
        "(() => {{ const s = document.getElementById('{0}'); s.selectedIndex = {1};"
        "s.dispatchEvent(new Event('change', {{bubbles: true}})); return s.value }})()"
    )
    assert opened.get(change.format("by-given", 2)) == f"={CLASSES[1]}"
    assert opened.get(visible) == [1]
    opened.get(change.format("by-pair", 1))
    assert opened.get(visible) == [] and not opened.get("document.getElementById('empty').hidden")
    opened.click("#reset")
    assert opened.get(visible) == [0, 1, 2, 3, 4]


@needs_chromium
@pytest.mark.slow
def test_cells_are_written_as_by_csv_files(opened: Tab) -> None:
    words = ["=1+1", "-1", "-x", "'=1", "cat", "-1.5e3", "+.5", "\t", "\r\n", 'a"b', "a,b", "1.",
             "-", "''+", "@", "é", "", "'tis", "-1\n", "+1e"]  # fmt: skip
    for word in words:
        expected = io.StringIO()
        csv.writer(expected).writerow([escape(word), ""])
        assert opened.get(f"cell({json.dumps(word)})") + ",\r\n" == expected.getvalue(), repr(word)

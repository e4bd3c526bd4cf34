"""What docs/techniques.md derives from the code: writes it there.

python docs/make_techniques.py

Which techniques go together, from their own roles; the stopping and the selection rules, from their
tables; and a row for each technique that has none, from the first lines of its file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from labelnoise.config import CONF_DIR
from labelnoise.config.composition import compose
from labelnoise.selection import RULES
from labelnoise.stoppers import STOPPERS
from labelnoise.techniques import Technique, conflict
from labelnoise.training.building import build_techniques

PAGE = Path(__file__).with_name("techniques.md")


def all_techniques() -> dict[str, Technique]:
    """Every file of conf/technique, built with its own options."""
    names = sorted(path.stem for path in (CONF_DIR / "technique").glob("*.yaml"))
    return {
        name: t for n in names for name, t in build_techniques(compose([f"technique={n}"])).items()
    }


def alike(techniques: Mapping[str, Technique]) -> list[list[str]]:
    """Names of techniques with the same role and refusals; a row of the table each."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for name, technique in techniques.items():
        key = technique.role, *sorted(technique.refuses.items())
        groups.setdefault(key, []).append(name)
    return sorted(groups.values())


def combinations(techniques: Mapping[str, Technique]) -> str:
    """The table as Markdown, and below it a line for every reason."""
    groups = alike(techniques)
    numbers = [f"{i + 1}" for i in range(len(groups))]

    def cell(one: str, two: str) -> str:
        return "yes" if conflict(one, techniques[one], two, techniques[two]) is None else "no"

    rows = [
        [number, _names(group), *(cell(group[0], other[0]) for other in groups)]
        for number, group in zip(numbers, groups, strict=True)
    ]
    table = _table(["", "", *numbers], rows)
    reasons = "".join(f"- {line}\n" for line in sorted(set(_reasons(techniques, groups))))
    return f"{table}\n{reasons}"


def _reasons(techniques: Mapping[str, Technique], groups: list[list[str]]) -> Iterator[str]:
    for group in groups:
        for other in groups:
            one, two = techniques[group[0]], techniques[other[0]]
            if two.role in one.refuses:
                yield f"{_names(group)} with {_names(other)}: the latter {one.refuses[two.role]}"


def _names(group: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in group)


def stopping_rules() -> str:
    """The values of ``technique.early_stop.trigger`` as Markdown."""
    rows = [
        [f"`{name}`", rule.event, _names(rule.names), rule.knows or "nothing"]
        for name, rule in STOPPERS.items()
    ]
    return _table(["`trigger=`", "stops when", "reads the metrics", "oracle knowledge"], rows)


def selection_rules() -> str:
    """The values of ``technique.sample_selection.rule`` as Markdown."""
    rows = [
        [f"`{name}`", _first_line(rule.select.__doc__), f"{rule.epochs or 'none'}"]
        for name, rule in RULES.items()
    ]
    return _table(["`rule=`", "keeps", "epochs recorded before"], rows)


def row(name: str, technique: Technique) -> list[str]:
    """Of a technique in the page's first table, from what its own file and class say.

    Its first comment says what it does, "# Source: ..." where it is from.
    """
    text = (CONF_DIR / "technique" / f"{name}.yaml").read_text()
    what = re.sub(r":?\s+python run\.py .*", "", text.splitlines()[0].removeprefix("# "))
    source = re.search(r"^# Source: (.+)$", text, re.MULTILINE)
    return [
        f"`{name}`",
        _within(what),
        source[1].rstrip(".") if source else "its file",
        ", ".join(technique.oracle_knowledge()) or "nothing",
        "not measured",
    ]


def add_rows(text: str, techniques: Mapping[str, Technique]) -> str:
    """The page with a row for every technique without one; what is there stays as it is."""
    table = re.search(r"^\| technique .*\n(\|.*\n)+", text, re.MULTILINE)
    assert table is not None, f"{PAGE} has no table of techniques"
    first = [line.split("|")[1] for line in table[0].splitlines()]
    new = [
        row(name, technique)
        for name, technique in techniques.items()
        if not any(f"`{name}`" in cell for cell in first)
    ]
    return text[: table.end()] + _rows(new) + text[table.end() :]


def _first_line(docstring: str | None) -> str:
    assert docstring, "a rule's docstring says what it keeps"
    return _within(docstring.splitlines()[0])


def _within(sentence: str) -> str:
    """As it stands in a cell of a table."""
    return sentence[0].lower() + sentence[1:].rstrip(".")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return _rows([head, ["---"] * len(head), *rows])


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def put(text: str, name: str, made: str) -> str:
    """The page with what was made between the two comments that name it, at its end if need be."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    if begin not in text:
        text = f"{text}\n## {name.capitalize()}\n\n{begin}{end}"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{made}\n{end}{after}"


def page(text: str) -> str:
    """The page with all that is derived in its place."""
    techniques = all_techniques()
    text = add_rows(text, techniques)
    text = put(text, "combinations", combinations(techniques))
    text = put(text, "stopping rules", stopping_rules())
    return put(text, "selection rules", selection_rules())


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))

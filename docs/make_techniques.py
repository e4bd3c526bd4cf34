"""Which techniques go together, from their own roles: writes the table in docs/techniques.md.

python docs/make_techniques.py
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from labelnoise.config import CONF_DIR
from labelnoise.config.composition import compose
from labelnoise.techniques import Technique, conflict
from labelnoise.training.building import build_techniques

PAGE = Path(__file__).with_name("techniques.md")
BEGIN, END = "<!-- combinations -->\n", "<!-- end of combinations -->\n"


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

    rows = [["", "", *numbers], *[["---"] * (len(groups) + 2)]]
    for number, group in zip(numbers, groups, strict=True):
        rows.append([number, _names(group), *(cell(group[0], other[0]) for other in groups)])
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
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


def page(text: str, table: str) -> str:
    """The page with the table in its place."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(), combinations(all_techniques())))

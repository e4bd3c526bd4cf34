"""Misspelt keys and choices get a hint that works when it is typed."""

from __future__ import annotations

import re

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from labelnoise.config.command_line import explain
from labelnoise.config.composition import compose


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["noise_rat=0.1"], "noise_rate=0.1"),
        (["techniqe=elr"], "technique=elr"),
        (["tehcnique=elr"], "technique=elr"),
        (["technique=earlystop"], "technique=early_stop"),
        (["data=digit"], "data=digits"),
        (["lr=0.1"], "optimizer.lr=0.1"),
        (["epochs=5"], "max_epochs=5"),
        (["steps=5"], "max_steps=5"),
        (["bs=32"], "batch_size=32"),
        (["noise_ratio=0.1"], "noise_rate=0.1"),
        (["optimizer.lrr=1"], "optimizer.lr=1"),
        (["data.N=20"], "data.n=20"),
        (["technique=early_stop", "technique.early_stop.patince=5"],
         "technique.early_stop.patience=5"),
    ],
)  # fmt: skip
def test_the_first_hint_works(words: list[str], hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", *words])
    with pytest.raises((HydraException, OmegaConfBaseException)) as raised:
        compose(words)
    line = explain(raised.value)
    assert line is not None and "\n" not in line
    match = re.search(r"does not exist, did you mean ([\w.]+)( or [\w.]+)*\?", line)
    assert match is not None, line
    key, _, value = words[-1].partition("=")
    typed = f"{key}={match[1]}" if hint.startswith(f"{key}=") else f"{match[1]}={value}"
    assert typed == hint
    compose([*words[:-1], typed])


def test_a_word_that_resembles_nothing_gets_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", "zzz=1"])
    with pytest.raises((HydraException, OmegaConfBaseException)) as raised:
        compose(["zzz=1"])
    assert "zzz does not exist, there are: " in str(explain(raised.value))


def test_an_option_of_a_technique_that_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    word = "technique.early_stop.patience=5"
    monkeypatch.setattr("sys.argv", ["run.py", word])
    with pytest.raises((HydraException, OmegaConfBaseException)) as raised:
        compose([word])
    assert "without technique=early_stop: write both" in str(explain(raised.value))

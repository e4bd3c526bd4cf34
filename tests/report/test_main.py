"""python -m labelnoise.report: fast help, and one line for bad input."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from labelnoise.errors import InputError
from labelnoise.report.__main__ import COMMANDS, main

ROOT = Path(__file__).resolve().parents[2]


def test_help_names_every_command_without_torch(capsys: pytest.CaptureFixture[str]) -> None:
    script = (
        "import sys\nfrom labelnoise.report.__main__ import main\n"
        "try:\n    main(['attribution', '--help'])\n"
        "finally:\n    assert not {'torch', 'matplotlib', 'captum'} & set(sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "--background" in result.stdout
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists(name: str) -> None:
    module, _, function = COMMANDS[name].function.partition(":")
    assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("magic", "invalid choice: 'magic'"),
        ("attribution", "the following arguments are required: RUN_DIR"),
        ("attribution RUN --samples many", "--samples must be a whole number, got 'many'"),
        ("attribution RUN --sample", "unrecognized arguments|ambiguous|expected one argument"),
        ("attribution RUN", "RUN holds no run: it has no .hydra/config.yaml"),
        ("attribution RUN --method magic", "method must be one of"),
    ],
)
def test_what_is_typed_wrongly_is_said(words: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        main(words.split())


def test_an_error_is_one_line_and_status_1() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "labelnoise.report", "attribution", "RUN", "--samples", "many"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr == (
        "error: argument --samples must be a whole number, got 'many' "
        "(see python -m labelnoise.report attribution --help)\n"
    )


def test_what_was_explained_is_printed(image_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["attribution", str(image_run), "--samples=2", "--background=5", "--draws=2", "--seed=1"])
    shown = capsys.readouterr().out
    assert f"wrote {image_run / 'attribution' / 'noisy.png'}" in shown
    assert "gradient_shap (2 draws)" in shown and "seed 1, against 5 clean" in shown

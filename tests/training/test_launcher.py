from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from labelnoise.errors import InputError
from labelnoise.training import launcher
from labelnoise.training.launcher import processes_of
from labelnoise.training.train import train

CPU = "trainer.accelerator=cpu"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), 0),
        (("trainer.devices=2",), 2),  # Lightning's own choice for several devices is ddp
        (("trainer=ddp", CPU, "trainer.devices=2"), 2),
        (("trainer=ddp", CPU, "trainer.devices=1"), 1),
        (("trainer=ddp", CPU, "trainer.devices=3",
          "trainer.strategy=ddp_find_unused_parameters_true"), 3),
    ],
)  # fmt: skip
def test_a_process_a_device(
    words: tuple[str, ...], expected: int, tiny_config: Callable[..., DictConfig]
) -> None:
    assert processes_of(tiny_config(*words).trainer) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("trainer=ddp", CPU, "trainer.devices=2", "trainer.strategy=ddp_spawn"),
         "trainer.strategy is ddp_spawn; for several devices it must be one of auto, ddp, "),
        (("+trainer.strategy=fsdp", "trainer.devices=2"), "trainer.strategy is fsdp"),
        (("trainer=ddp", CPU, "+trainer.num_nodes=2"), "trainer.num_nodes is 2: .*, write 1"),
        (("trainer=ddp", CPU, "trainer.devices=zero"), "cannot be built"),
    ],
)  # fmt: skip
def test_one_line_refuses_what_is_no_such_run(
    words: tuple[str, ...], message: str, tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        train(tiny_config(*words), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def failure(tmp_path: Path, codes: list[int | None], **said: tuple[float, str | None]) -> object:
    for name, (when, line) in said.items():
        rank = int(name[-1])
        report = {"rank": rank, "time": when, "line": line, "traceback": f"trace of {rank}"}
        (tmp_path / f"failure-{rank}.json").write_text(json.dumps(report))
    return launcher._failure(codes, tmp_path)


def test_of_several_failures_the_likeliest_cause_is_told(tmp_path: Path) -> None:
    error = failure(tmp_path, [1, 1], rank0=(2.0, None), rank1=(1.0, None))
    assert isinstance(error, RuntimeError) and "rank 1 failed:\ntrace of 1" in str(error)
    # If a rank is killed, the other ranks fail too.
    error = failure(tmp_path, [1, -9])
    assert isinstance(error, RuntimeError) and "rank 1 was ended by signal 9" in str(error)
    error = failure(tmp_path, [1, 1], rank1=(3.0, "data.n must be at least 1"))
    assert isinstance(error, InputError) and str(error) == "data.n must be at least 1"


def test_an_end_without_a_word_tells_the_statuses(tmp_path: Path) -> None:
    assert str(failure(tmp_path, [0, 3])) == "the processes ended with status [0, 3]"
    error = failure(tmp_path, [143, 1])
    assert isinstance(error, SystemExit) and error.code == 143


def test_ranks_are_told_who_they_are_and_where_they_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "5")
    environment = launcher._environment(1, 2, 4711, 3)
    assert "RANK" not in environment
    expected = {"LABELNOISE_RANK": "1", "LABELNOISE_WORLD_SIZE": "2", "LOCAL_RANK": "1",
                "MASTER_PORT": "4711", "OMP_NUM_THREADS": "3"}  # fmt: skip
    assert expected.items() <= environment.items()

"""The commands of SLURM, on this machine: sbatch, srun, sacct, scontrol and scancel.

:func:`install` makes a folder of commands that call this file. sbatch starts each job of an array
in the background, with the variables of SLURM. The files of a job are in the folder ``FAKE_SLURM``.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "scontrol", "scancel")
VARIABLE = "FAKE_SLURM"


def install(folder: Path) -> dict[str, str]:
    """Write the commands to ``folder``; returns the variables of a process that uses them."""
    folder.mkdir()
    (folder / "jobs").mkdir()
    for name in COMMANDS:
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        command.chmod(0o755)
    return {VARIABLE: str(folder / "jobs"), "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def sbatch(script: str) -> None:
    text = Path(script).read_text()
    options = dict(re.findall(r"#SBATCH --([\w-]+)=?'?([^'\n]*)", text))
    if options.get("partition") == "missing":
        print("sbatch: error: invalid partition specified: missing", file=sys.stderr)
        sys.exit(1)
    number = 100 + len(list(jobs().glob("*.sh")))
    (jobs() / f"{number}.sh").write_text(text)
    indices, _, _ = options.get("array", "").partition("%")
    _, _, last = indices.partition("-")
    names = [f"{number}_{i}" for i in range(int(last) + 1)] if last else [str(number)]
    for name in names:
        (jobs() / name).write_text("PENDING")
        subprocess.Popen(
            [sys.executable, __file__, "job", name],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    print(f"Submitted batch job {number}")


def job(name: str) -> None:
    """Run a job of an array until it ends and is not queued again, at most three at a time."""
    number, _, index = name.partition("_")
    place = None
    while place is None:
        place = next((i for i in range(3) if _take(i)), None)
        time.sleep(0.1)
    environment = {
        **os.environ, "SLURM_JOB_ID": f"9{number}{index}" if index else number,
        "SLURM_NTASKS": "1", "SLURM_PROCID": "0",
        "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "localhost",
        "SLURM_JOB_NAME": "labelnoise", "SLURM_LOCALID": "0",
    }  # fmt: skip
    if index:
        environment |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": index}
    while True:
        (jobs() / name).write_text("RUNNING")
        script = ["bash", str(jobs() / f"{number}.sh")]
        shell = subprocess.Popen(script, env=environment, start_new_session=True)
        (jobs() / f"{name}.pid").write_text(str(shell.pid))
        code = shell.wait()
        if not (jobs() / f"{name}.requeue").exists():
            break
        (jobs() / f"{name}.requeue").unlink()
    cancelled = (jobs() / name).read_text() == "CANCELLED"
    (jobs() / name).write_text("CANCELLED" if cancelled else "FAILED" if code else "COMPLETED")
    (jobs() / f"place-{place}").unlink()


def _take(place: int) -> bool:
    try:
        (jobs() / f"place-{place}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def srun(*words: str) -> None:
    """Replace this process by the command, with its output in the files of the options."""
    options = list(words)
    options.remove("--unbuffered")
    number, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    for stream, option in ((1, "--output"), (2, "--error")):
        at = options.index(option)
        path = options[at + 1].replace("%t", "0")
        path = path.replace("%A", str(number)).replace("%a", str(index))
        path = path.replace("%j", os.environ["SLURM_JOB_ID"])
        del options[at : at + 2]
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(file, stream)
    os.environ["SLURM_STEP_NUM_TASKS"] = "1"
    os.execvp(options[0], options)


def sacct(*words: str) -> None:
    asked = [word for word, before in zip(words[1:], words, strict=False) if before == "-j"]
    print("JobID|State|NodeList")
    for file in sorted(jobs().iterdir()):
        if not file.suffix and file.name.partition("_")[0] in asked:
            print(f"{file.name}|{file.read_text()}|localhost")


def scontrol(action: str, name: str) -> None:
    assert action == "requeue"
    (jobs() / f"{name}.requeue").touch()


def scancel(name: str) -> None:
    for file in sorted(jobs().glob(f"{name}*.pid")):
        (jobs() / file.stem).write_text("CANCELLED")
        os.killpg(int(file.read_text()), signal.SIGTERM)
        time.sleep(1)
        os.killpg(int(file.read_text()), signal.SIGKILL)


def jobs() -> Path:
    return Path(os.environ[VARIABLE])


if __name__ == "__main__":
    {f.__name__: f for f in (sbatch, srun, sacct, scontrol, scancel, job)}[sys.argv[1]](
        *sys.argv[2:]
    )

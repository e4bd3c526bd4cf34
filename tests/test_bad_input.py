"""Wrong command lines: each ends with one line before any work, and leaves no files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback

from labelnoise.config import CONF_DIR
from labelnoise.config.command_line import explain
from labelnoise.config.composition import _TOP_TYPES, check, compose
from labelnoise.config.options import _kinds, check_options, hints_of
from labelnoise.config.ranges import FOREIGN, TOP, range_of
from labelnoise.config.targets import find, instantiate
from labelnoise.config.words import check_words
from labelnoise.errors import InputError
from labelnoise.run_directory import RunDirectory
from labelnoise.training.building import build, one_line_refusals
from labelnoise.training.isolation import isolated
from tests.conftest import TINY, TINY_IMAGES, Run
from tests.parts import as_dict

ROOT = Path(__file__).resolve().parents[1]
STEPS = "scheduler.interval=step"

# For each choice, wrong values. The error begins with the path of the value and has the allowed
# values, or it matches the given pattern.
VALUES: dict[str, dict[str, str]] = {
    "": dict.fromkeys(
        (
            "data.n=1", "data.n=null", "data.n=[20]", "data.n=-20", "data.n=2.5", "data.n=1e3",
            "data.n=true", "data.n=99999999999999999999", "data.d=10.5", "data.d=0", "data.seed=-1",
            "data.n_snr_squared=nan", "data.n_snr_squared=inf", "data.xi_std=-1", "data.xi_std=inf",
            "data.orthogonal=7", "data.orthogonal=yes", "data.balanced=null", "data.n_val=-1",
            "data.n_test=0", "data.dtype=float16", "data.dtype=null", "data.steps=0",
            "model.seed=-5", "model.filters=2.5", "model.filters=10000000", "model.sigma_0=-0.1",
            "model.sigma_0=nan", "model.sigma_0=abc", "model.stride=0", "model.kernel_size=''",
            "noise.seed=-1", "noise.seed=1e3", "noise.seed=abc", "noise.seed=null",
            "noise.seed=99999999999999999999999999", "noise.rate=[0.1]", "noise.rate=-0.1",
            "optimizer.lr=inf", "optimizer.lr=nan", "optimizer.lr=null", "optimizer.lr=[1]",
            "optimizer.lr=true", "optimizer.momentum=-1", "optimizer.momentum=abc",
            "optimizer.weight_decay=nan", "threads=0", "threads=1000000", "compile=7",
            "compile=yes", "compile=null", "channels_last=maybe", "max_steps=-5",
            "max_steps=100000000000000000000000", "batch_size=-1", "log_every_n_steps=-3",
            "keep_checkpoint_every_n_epochs=0", "noise_rate=1e400", "noise_rate=nan",
            "seed=99999999999999999999999999", "resume=''", "trainer.accelerator=tpu",
            "trainer.accumulate_grad_batches=abc", "trainer.deterministic=5",
            "trainer.enable_progress_bar=5", "trainer.num_sanity_val_steps=-2",
            "trainer.precision=7", "+trainer.limit_train_batches=0",
            "+trainer.limit_train_batches=-1", "+trainer.limit_train_batches=abc",
            "+trainer.gradient_clip_val=-1", "+trainer.min_epochs=abc", "allow_targets=null",
            "allow_targets=os", "allow_targets=[a/b]", "model._target_=''", "model._target_=5",
        ),
        "",
    )
    | {
        "data.n=1000000000": r"1000000000 training, .* of 60 dimensions take .* of memory but ",
        "data.d=1000000000000": r"take 1600 TB of memory but .* are free: write a smaller data.n",
        "data.signal_norm=3": r"give one of data.n_snr_squared and data.signal_norm",
        "max_steps=0": r"set max_steps or max_epochs to at least 1",
        "max_steps=-1": r"max_steps must be at least 1 because these data",
        "trainer.max_steps=5": r"trainer.max_steps=5 contradicts max_steps=60: write max_steps=5",
        "trainer.max_epochs=7": r"trainer.max_epochs=7 contradicts max_epochs=1",
        "trainer.devices=0": r"cannot be built: .*devices=0",
        "trainer.devices=abc": r"cannot be built: `devices`",
        "+trainer.limit_train_batches=1.5": r"cannot be built: .*limit_train_batches",
        "+trainer.fast_dev_run=true": r"trainer.fast_dev_run cannot be set: write trainer=smoke",
        "+trainer.limit_test_batches=1": r"cannot be set: write a smaller test set",
        "+trainer.callbacks=[]": r"cannot be set: write monitor= and technique=",
        "+trainer.max_time=abc": r"trainer.max_time cannot be set: write max_steps=",
        "+trainer.profiler=magic": r"cannot be built: .*profiler",
        "+trainer.foo=1": r"trainer.foo does not exist, trainer has: accelerator, ",
        "+data.foo=1": r"data.foo does not exist, data has: balanced",
        "+optimizer.foo=1": r"optimizer.foo does not exist, optimizer has: lr, momentum",
        "+optimizer.nesterov=true": r"cannot be built: Nesterov momentum requires a momentum",
        "model._target_=os.system": r"model._target_=os.system is not allowed",
        "name=/tmp/x": r"name=/tmp/x is not a folder within output_dir",
        "name=a/../../x": r"is not a folder within output_dir",
        "name=.": r"is not a folder within output_dir",
        "name=..": r"is not a folder within output_dir",
        "name=''": r"name is empty",
        "+monitor.x=5": r"monitor.x has no _target_: choose it as monitor=x",
        "model=5": r"model must be a choice as model=NAME, got 5",
        "technique=5": r"technique must be a choice as technique=NAME, got 5",
        "+logger.x._target_=pytorch_lightning.loggers.CSVLoger": r"logger.x._target_=.* exist in",
    },
    "noise=class_conditional": {
        "noise.tau_plus=0.9": r"tau_plus 0.9 is not below 1/2",
        "noise.tau_plus=null": r"write both, or noise.rates",
        "noise.rates=0.1": "",
        "noise.rates=[0.1,abc]": "",
        "noise.rates=[0.1,1.5]": "",
    },
    "noise=file noise.path=x": {
        "noise.path=''": "",
        "noise.path=null": "",
        "noise.path=/nonexistent": r"noise record '/nonexistent' is not a file",
        "noise.path=/tmp": r"noise record '/tmp' is not a file",
        "noise.path=/etc/passwd": r"noise record '/etc/passwd' cannot be read",
    },
    "noise=matrix noise.matrix=x": {
        "noise.matrix=''": "",
        "noise.matrix=/nonexistent": r"noise.matrix=/nonexistent cannot be read",
        "noise.matrix=/tmp": r"noise.matrix=/tmp cannot be read",
    },
    "data=features data.path=/nonexistent.csv": {
        "data.path=''": "",
        "data.path=/tmp": r"'/tmp' must end in .npz, .csv",
        "data.truth=folders": r"data.truth must be one of unknown, labels, got folders",
        "data.label_column=5": "",
        "data.seed=0": r"features file '/nonexistent.csv' is not a file",
        "model.widths=8": "",
        "model.widths=[0]": "",
        "model.widths=[8,abc]": "",
    },
    "data=mnist": {"data.root=/nonexistent": r"MNIST is not in /nonexistent/MNIST/raw \(4 of 4"},
    "noise=human noise.path=x": {"noise.path=/nonexistent": r"must end in .npz, .csv, .pt"},
    f"scheduler=step {STEPS}": {
        "scheduler.step_size=0": "",
        "scheduler.step_size=abc": "",
        "scheduler.step_size=null": "",
        "scheduler.interval=day": "",
        "scheduler.gamma=-1": "",
        "+scheduler.foo=1": r"scheduler.foo does not exist, scheduler has: gamma, step_size",
    },
    f"scheduler=multi_step {STEPS}": {
        "scheduler.milestones=5": "",
        "scheduler.milestones=[]": "",
        "scheduler.milestones=[1.5]": "",
    },
    "optimizer=sgd": {"optimizer.nesterov=5": ""},
    "optimizer=adam": {
        "+optimizer.betas=0.9": "",
        "+optimizer.betas=[2,3]": r"cannot be built: Invalid beta parameter",
    },
    "technique=early_stop": {
        "technique.early_stop=null": r"technique.early_stop has no _target_",
        "technique.early_stop.trigger=never": "",
        "technique.early_stop.trigger=null": "",
        "technique.early_stop.patience=1.5": "",
        "technique.early_stop.every_n_steps=null": "",
        "+technique.early_stop.foo=1": r"foo does not exist, .* has: every_n_steps, patience",
    },
    "technique=gce": {"technique.gce.q=0": "", "technique.gce.q=abc": ""},
    "technique=sce": {"technique.sce.alpha=-1": "", "technique.sce.log_zero=1": ""},
    "technique=elr": {"technique.elr.beta=1": "", "technique.elr.strength=inf": ""},
    "technique=tcr": {"technique.tcr.sharpening=0.5": "", "technique.tcr.beta=2": ""},
    "technique=dal": {"technique.dal.q_end=0.1": "", "technique.dal.q_start=0": ""},
    "technique=label_smoothing": {"technique.label_smoothing.epsilon=1": ""},
    "technique=bootstrapping_hard": {"technique.bootstrapping_hard.beta=1.5": ""},
    "technique=label_wave": {"technique.label_wave.window=0": ""},
    "technique=sample_selection": {
        "technique.sample_selection.rule=magic": "",
        "technique.sample_selection.percentile=0": "",
        "technique.sample_selection.keep_share=0": "",
        "technique.sample_selection.prune=none": "",
        "technique.sample_selection.noise_rate=2": "",
    },
    "technique=stochastic_reset": {
        "technique.stochastic_reset.r=-0.1": "",
        "technique.stochastic_reset.parameters=weight": "",
        "technique.stochastic_reset.parameters=[5]": "",
        "technique.stochastic_reset.adaptive=7": "",
    },
    "technique=forward_correction": {
        "technique.forward_correction.matrix=5": "",
        "technique.forward_correction.matrix=unknown": "",
        "technique.forward_correction.percentile=101": "",
    },
    "technique=co_teaching": {
        "technique.co_teaching.forget_rate=1": "",
        "technique.co_teaching.warmup_epochs=0": "",
    },
    "technique=neighbour_trust": {"technique.neighbour_trust.temperature=0": ""},
    "technique=mixup": {"technique.mixup.alpha=0": ""},
    "monitor=memorization": {
        "monitor.memorization.probe_size=0": "",
        "monitor.memorization.every_n_steps=-1": "",
        "monitor.memorization.test_every_n_steps=0": "",
        "monitor.memorization.seed=-1": "",
    },
    "monitor=curvature": {
        "monitor.curvature.vectors=1": "",
        "monitor.curvature.iterations=1000000000": "",
    },
    "monitor=gradients": {
        "monitor.gradients.per_sample=some": "",
        "monitor.gradients.probe_size=1": "",
    },
    "monitor=dynamics": {"monitor.dynamics.extra_pass=5": ""},
    "monitor=features": {"monitor.features.batch_size=0": ""},
    "data=image_folder": dict.fromkeys(
        (
            "data.augment=5", "data.mean=0.5", "data.mean=[a,b,c]", "data.channels=grey",
            "data.std=[0,1,1]", "data.std=[nan,1,1]", "data.per_class=2.5", "data.per_class=0",
            "data.test_per_class=-1", "data.val_fraction=abc", "data.val_fraction=1",
            "data.val_fraction=null", "data.image_size=0", "data.image_size=100000",
            "data.image_size=[8,8]", "data.eval_batch_size=null", "data.root=''",
            "data.root=null", "data.root=5", "data.split_seed=-1", "data.shuffle_seed=abc",
            "batch_size=1000000000000000000000",
        ),
        "",
    )
    | {
        "data.mean=[0.5,0.5]": r"data.mean has 2 numbers for images of 1 or 3 channels",
        "data.channels=2": r"data.channels must be one of 1, 3, got 2",
        "data.cache=ram": r"data.cache must be auto or memory or disk, got ram",
        "data.unreadable=drop": r"data.unreadable must be refuse or skip, got drop",
        "data.per_class=1000": r"data.per_class is 1000 but the smallest class has 30 samples",
        "data.root=/nonexistent": r"there is no folder /nonexistent; put the images into",
        "data.root=/etc/passwd": r"there is no folder /etc/passwd; put the images into",
        "data.labels=/tmp": r"noise=symmetric would flip them again",
        "model.kernel_size=9": r"model.kernel_size=9 is larger than the images",
    },
    "data=image_folder noise=none": {
        "data.labels=''": "",
        "data.labels=/nonexistent": r"data.labels=/nonexistent cannot be read",
        "data.labels=/tmp": r"data.labels=/tmp cannot be read",
    },
    "data=cifar10_pair": {
        "data.classes=[cat]": r"data.classes is \['cat'\]; write two different classes",
        "data.classes=cat": "",
        "data.classes=[cat,cat]": r"write two different classes",
        "data.classes=[cat,1.5]": "",
        "data.download=maybe": "",
        "data.root=/nonexistent": r"CIFAR-10 is not in /nonexistent",
    },
}  # fmt: skip
LINES = [(choices, word) for choices, words in VALUES.items() for word in words]


@pytest.fixture(scope="module")
def composed(image_root: Path) -> Callable[[str], DictConfig]:
    """The configuration of some choices; composed once, since Hydra takes most of a case's time."""

    @cache
    def make(choices: str) -> DictConfig:
        base: tuple[str, ...] = TINY
        if "data=image_folder" in choices:
            base = (*TINY_IMAGES, f"data.root={image_root}")
        elif "data=features" in choices:
            base = ("threads=1", "logger=none")
        elif "data=" in choices:
            base = ("data.download=false", "threads=1", "logger=none")
        return compose([*base, *choices.split()])

    return make


@pytest.mark.parametrize(("choices", "word"), LINES, ids=[f"{c} {w}".strip() for c, w in LINES])
def test_a_wrong_value_ends_in_one_line_before_training(
    choices: str, word: str, composed: Callable[[str], DictConfig], tmp_path: Path
) -> None:
    key = word.partition("=")[0].lstrip("+")
    override = OverridesParser.create().parse_overrides([word])[0]
    with pytest.raises(Exception, match=r"(?s).") as raised:
        cfg = OmegaConf.create(OmegaConf.to_container(composed(choices)))
        assert isinstance(cfg, DictConfig)
        OmegaConf.update(cfg, key, override.value(), force_add=True)
        check(cfg)
        with isolated(cfg.seed, cfg.threads), one_line_refusals():
            build(cfg, RunDirectory(tmp_path / "run"))
    line = explain(raised.value)
    expected = VALUES[choices][word] or rf"^{re.escape(key)} must be .*, got "
    assert line is not None and "\n" not in line, raised.value
    assert re.search(expected, line), line
    assert list(tmp_path.iterdir()) == []


# Words that Hydra refuses, or would take in silence.
WORDS = {
    "technique=[early_stop,early_stop]": r"names early_stop twice: write it once",
    "monitor=[memorization, memorization]": r"names memorization twice",
    "monitor=memorization monitor=dynamics": r"monitor is given twice, as memorization and as dyn",
    "seed=1 +seed=2": r"seed is given twice, as 1 and as 2",
    "model=[cnn,vgg11]": r"model must be one choice, as model=NAME, got \[cnn,vgg11\]",
    "technique=none,elr": r"is two choices: write technique=\[none,elr\] .* or -m first",
    "technique=": r"technique= does not exist, choose from: .*backward_correction",
    "model=": r"model= does not exist, choose from: .*cnn",
    "noise=5": r"a choice must be a name or a list of names",
    "seed=null": r"seed cannot be null, leave it out for its default",
    "max_steps=null": r"max_steps cannot be null",
    "seed=true": r"seed must be a whole number, got True",
    "noise_rate={a: 1}": r"noise_rate must be a number, got \{'a': 1\}",
    "output_dir=[a]": r"output_dir must be a word, got \['a'\]",
    "name=null": r"name cannot be null",
    "batch_size=1.5": r"batch_size must be a whole number, got 1.5",
    "naïve=5": r"cannot read naïve=5, put quotes around unusual characters",
    "seed=１": r"cannot read seed=１, put quotes",
    "seed=[1": r"a bracket or a quote is not closed",
    "seed": r"cannot read 'seed', write NAME=VALUE",
    "a==b": r"cannot read 'a==b', write NAME=VALUE",
    "data.n=${nothing}": r"data.n refers to nothing, which does not exist",
    "data.n=${oc.env:NOT_THERE}": r"data.n cannot be resolved: .*'NOT_THERE' not found",
    "hydra/launcher=joblib": r"hydra/launcher=joblib does not exist.*pip install hydra-joblib-laun",
    "hydra/launcher=submitit_pbs": r"pip install hydra-submitit-launcher$",
    "hydra/sweeper=ax": r"pip install hydra-ax-sweeper",
    "trainer=tpu": r"trainer=tpu does not exist, choose from: cpu, ddp, gpu, smoke",
    "logger=comet": r"logger=comet does not exist, choose from: csv, mlflow, none, tens.*, wandb",
    "technique_preset=mine": r"technique_preset=mine does not exist",
    "technique_preset=paper technique=mae": r"technique_preset=paper has no entry for mae",
}


@pytest.mark.parametrize("words", WORDS)
def test_wrong_words_end_in_one_line(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = words.split(" ") if "{" not in words and ", " not in words else [words]
    monkeypatch.setattr(sys, "argv", ["run.py", *typed])
    with pytest.raises(Exception, match=r"(?s).") as raised:
        check_words(typed)
        check(compose(typed))
    line = explain(raised.value)
    assert line is not None and "\n" not in line
    assert re.search(WORDS[words], line), line


@pytest.mark.parametrize(
    "words", [["seed=1", "seed=1"], ["-m", "technique=[elr,mixup],none", "seed=0,1"], ["a=b=c"]]
)
def test_words_that_are_right(words: list[str]) -> None:
    check_words(words)


def test_another_data_module_is_refused_by_the_class_to_write(run_images: Run) -> None:
    with pytest.raises(InputError, match=r"data is a Foreign, .*ImageDataModule with a method"):
        run_images("data._target_=tests.parts.Foreign")


@pytest.mark.parametrize("size", [1, 53])
def test_batch_norm_refuses_a_batch_of_one_before_the_first_step(
    size: int, run_images: Run, tmp_path: Path
) -> None:
    network = ("model._target_=tests.parts.Normalised1d", f"batch_size={size}")
    with pytest.raises(
        InputError, match=rf"batch norm \(norm\) .*batch_size={size} a process gets"
    ):
        run_images(*network)
    assert not (tmp_path / "run").exists()


def test_batch_norm_over_pixels_trains_on_one_sample(run_images: Run) -> None:
    """Each channel still has a value a pixel."""
    run_images("model._target_=tests.parts.NormalisedImages", "batch_size=53", "max_epochs=1")


def test_a_last_batch_that_is_never_reached_is_no_reason(run_images: Run) -> None:
    run_images("model._target_=tests.parts.Normalised1d", "batch_size=53", "max_steps=1")


@pytest.mark.parametrize(
    ("rate", "said"), [("1e6", "the loss explodes to"), ("1e38", "not finite from")]
)
def test_a_loss_that_runs_away_is_said(rate: str, said: str, run_tiny: Run, tmp_path: Path) -> None:
    run_tiny(f"optimizer.lr={rate}", "max_steps=10")
    assert said in (tmp_path / "run" / "run.log").read_text()


# --- the table itself ---


def files(*groups: str) -> list[Path]:
    return [path for group in groups for path in sorted((CONF_DIR / group).glob("*.yaml"))]


def parts(path: Path) -> Iterator[tuple[str, DictConfig]]:
    """Every part in a file, by name."""
    given = {"noise": ["noise.path=x"], "data": ["data.root=x"]}
    group, words = path.parent.name, [f"{path.parent.name}={path.stem}"]
    try:
        node = compose([*words, *given.get(group, [])])[group]
    except Exception:  # has no such key
        node = compose(words)[group]
    nodes = {group: node} if "_target_" in node else dict(node)
    yield from ((f"{path.stem}: {name}", part) for name, part in nodes.items())


def every_file(*groups: str) -> pytest.MarkDecorator:
    found = files(*groups)
    return pytest.mark.parametrize("path", found, ids=[f"{p.parent.name}={p.stem}" for p in found])


@every_file("data", "noise", "model", "technique", "monitor")
def test_every_number_has_a_range(path: Path) -> None:
    for name, part in parts(path):
        hints = hints_of(find(part._target_))
        for option in map(str, part):
            kinds = numbers_in(hints.get(option))
            if kinds:
                bounds = range_of(part._target_, option)
                assert bounds is not None, (
                    f"{name}: give {option} a range in labelnoise/config/ranges.py"
                )
                assert bounds.whole == (float not in kinds), f"{name}.{option}"


def test_every_number_at_the_top_has_a_range() -> None:
    assert {key for key, hint in _TOP_TYPES.items() if numbers_in(hint)} == set(TOP)


def test_numbers_are_found_in_the_files() -> None:
    """A test over all files would also pass if it found no file."""
    (sce,) = (part for path in files("technique") if path.stem == "sce" for _, part in parts(path))
    hints = hints_of(find(sce._target_))
    numbers = {option for option in map(str, sce) if numbers_in(hints.get(option))}
    assert numbers == {"alpha", "beta", "log_zero"}


def numbers_in(hint: Any) -> set[type]:
    """Which of int and float a hint allows, also inside lists."""
    kinds = [
        *_kinds(hint),
        *(k for kind in _kinds(hint) for i in get_args(kind) for k in _kinds(i)),
    ]
    return set() if str in kinds else {int, float} & set(kinds)


# Values that are refused because of another option.
TOGETHER = {"DAL.q_end"}


@every_file("technique", "monitor")
def test_the_table_refuses_what_a_constructor_refuses(path: Path) -> None:
    """So that every bad value is refused before the data are read."""
    for name, part in parts(path):
        plain = as_dict(part)
        target = part._target_.rpartition(".")[2]
        for option in plain:
            bounds = range_of(part._target_, option)
            if bounds is not None and f"{target}.{option}" not in TOGETHER:
                for value in (0, 1, 2, 100) if bounds.whole else (-0.5, 0.0, 0.5, 1.0, 1.5, 100.0):
                    if value in bounds:
                        assert not refuses({**plain, option: value}), f"{name}.{option}={value}"


def test_what_a_constructor_refuses_is_seen() -> None:
    (mixup,) = (p for path in files("technique") if path.stem == "mixup" for _, p in parts(path))
    plain = as_dict(mixup)
    assert refuses({**plain, "alpha": 0.0}) and not refuses({**plain, "alpha": 1.0})


def refuses(node: dict[str, Any]) -> bool:
    """Whether a part cannot be made; a loss that is a function is tried on one sample."""
    try:
        made = instantiate(node)
        if not isinstance(made, Callback):
            made(torch.zeros(1, 2), torch.zeros(1).long())
    except Exception as error:
        if explain(error) is None:
            raise
        return True
    return False


# --- real processes ---


def run(door: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *door.split(), *words], cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip


def refused(done: subprocess.CompletedProcess[str], line: str) -> None:
    """The last line is the error; the log may have lines about the data before it."""
    assert done.returncode == 1, done.stderr
    assert re.search(rf"^error: .*{line}.*\n\Z", done.stderr, re.MULTILINE), done.stderr
    assert done.stderr.count("error") == 1 and "Traceback" not in done.stderr


def test_nothing_of_a_refused_run_is_left(tmp_path: Path) -> None:
    place = f"output_dir={tmp_path}/a/b"
    refused(run("run.py", place, "name=c/d", "data.n=1"), "data.n must be a whole number")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("data.d=20", "needs d >= n"),  # refused once the data are there
        ("name=../x", "not a folder within output_dir"),
        ("threads=1000000", "threads must be"),
        ("resume=/nonexistent", "resume=/nonexistent is not a folder: give the directory of a run"),
        ("--foo", "unrecognized arguments: --foo"),
        ("trainer=ddp trainer.accelerator=cpu trainer.devices=2 data.n=abc", "data.n must be"),
    ],
)
def test_a_refused_run_leaves_nothing(words: str, line: str, tmp_path: Path) -> None:
    refused(run("run.py", *words.split(), f"output_dir={tmp_path}/a/b"), line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("door", "words"),
    [
        ("run.py -m", "name=../x seed=0,1"),
        ("run.py -m", "seed=-1,-2"),
        ("phase_diagram.py", "name=../x"),
        ("phase_diagram.py -m", "name=../x block=0,1 blocks=2"),
        ("phase_diagram.py", "x.points=0"),
        ("phase_diagram.py", "figure.title=[a]"),
        ("phase_diagram.py", "seed=99999999999999999999"),
        ("phase_diagram.py", "x=[1,2]"),
    ],
)
def test_a_refused_sweep_or_diagram_leaves_nothing(door: str, words: str, tmp_path: Path) -> None:
    done = run(door, *words.split(), f"output_dir={tmp_path}/a/b")
    assert done.returncode == 1 and "error: " in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "mine" / "empty").mkdir(parents=True)
    refused(run("run.py", f"output_dir={tmp_path}/mine", "name=empty", "data.n=1"), "data.n")
    refused(run("run.py", f"output_dir={tmp_path}/mine", "name=x", "data.d=20"), "needs d >=")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["empty"]


# --- reports ---

REPORTS = {
    "suspects RUN --top -1": r"--top must be a whole number of at least 0, got -1",
    "suspects RUN --top 1.5": r"argument --top must be a whole number, got '1.5'",
    "suspects RUN --score magic": r"score must be one of loss, margin_loss",
    "suspects RUN RUN": r"unrecognized arguments",
    "suspects FILE": r"FILE holds no finished run",
    "suspects NONE": r"NONE holds no finished run",
    "figures EMPTY": r"EMPTY holds no finished run",
    "comparison FILE": r"FILE holds no finished runs",
    "comparison SWEEP SWEEP": r"SWEEP is given twice: its runs would count twice",
    "attribution NONE": r"NONE holds no run",
    "attribution RUN --samples 1000000 --background 5": r"samples must be .* from 1 to 100, got 10",
    "attribution RUN --samples -3 --background 5": r"samples must be a whole number from 1 to 100",
    "attribution RUN --samples 1e3": r"argument --samples must be a whole number, got '1e3'",
    "attribution RUN --samples 2 --background 1000000": r"background must be between 1 and ",
    "attribution RUN --draws 1000000000": r"draws must be a whole number from 1 to 100,000",
    "attribution RUN --seed -1": r"seed must be a whole number of at least 0, got -1",
    "attribution RUN --seed 99999999999999999999": r"seed must be a whole number from 0 to 9,223",
    "attribution RUN --method magic": r"method must be one of gradient_shap, deep_lift_shap",
    "attribution RUN --checkpoint EMPTY": r"checkpoint EMPTY does not exist",
    "attribution RUN --allow-targets a/b": r"allow_targets must be a list of modules",
    "attribution RUN --allow-targets": r"expected at least one argument",
    "magic RUN": r"argument COMMAND: invalid choice: 'magic'",
    "": r"the following arguments are required: COMMAND",
}


@pytest.fixture(scope="module")
def places(
    tmp_path_factory: pytest.TempPathFactory, image_root: Path, one_thread: None
) -> dict[str, Path]:
    from labelnoise.training.train import train

    root = tmp_path_factory.mktemp("places")
    words = (*TINY_IMAGES, f"data.root={image_root}", "max_epochs=1")
    train(compose([*words, "monitor=[memorization,dynamics]"]), root / "RUN")
    (root / "EMPTY").mkdir()
    (root / "FILE").write_bytes(np.zeros(3).tobytes())
    shutil.copytree(root / "RUN", root / "SWEEP" / "0")
    return {name: root / name for name in ("RUN", "EMPTY", "FILE", "SWEEP", "NONE")}


@pytest.mark.parametrize("words", REPORTS)
def test_a_wrong_report_command_ends_in_one_line(words: str, places: dict[str, Path]) -> None:
    pytest.importorskip("captum")
    from labelnoise.report.__main__ import main

    before = sorted(places["RUN"].rglob("*"))
    with pytest.raises(InputError) as raised:
        main([str(places.get(word, word)) for word in words.split()])
    line = str(raised.value)
    for name, path in places.items():
        line = line.replace(str(path), name)
    assert re.search(REPORTS[words], line) and "\n" not in line, line
    assert sorted(places["RUN"].rglob("*")) == before


def test_foreign_ranges_are_of_options_that_exist() -> None:
    hints = hints_of(find("pytorch_lightning.Trainer"))
    assert {key.split(".")[1] for key in FOREIGN if key.startswith("trainer.")} <= set(hints)


def test_options_are_checked_on_right_configurations_too(
    composed: Callable[[str], DictConfig],
) -> None:
    for choices in VALUES:
        check(composed(choices))
        check_options(composed(choices))

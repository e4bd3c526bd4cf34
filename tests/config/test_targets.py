"""What a configuration may name as ``_target_``: nothing else is imported, found or called."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from labelnoise.attribution.checkpoint import load_trained
from labelnoise.config import CONF_DIR
from labelnoise.config.composition import check
from labelnoise.config.targets import find, instantiate
from labelnoise.errors import InputError
from labelnoise.files.manifest import versions
from labelnoise.run_directory import RunDirectory
from labelnoise.training.building import build_learner
from labelnoise.training.launcher import processes_of
from labelnoise.training.train import run_rank, train
from tests.conftest import Run

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "labelnoise"

ALLOWED = """
labelnoise.TwoLayerCNN labelnoise.models.ResNet labelnoise.data.SignalNoiseDataModule
labelnoise.losses.gce labelnoise.techniques.ELR labelnoise.noise.SymmetricNoise
labelnoise.monitors.DynamicsMonitor
torch.nn.Linear torch.nn.functional.cross_entropy torch.optim.SGD torch.optim.Muon
torch.optim.lr_scheduler.StepLR torchvision.models.resnet18 torchvision.models.ResNet
pytorch_lightning.Trainer pytorch_lightning.callbacks.LearningRateMonitor
pytorch_lightning.loggers.CSVLogger pytorch_lightning.strategies.DDPStrategy
pytorch_lightning.profilers.SimpleProfiler pytorch_lightning.plugins.MixedPrecision
pytorch_lightning.plugins.environments.LightningEnvironment torchmetrics.MeanMetric
"""

# Code, pickles, files and the network, reached directly, through imports, or through methods.
REFUSED = """
os.system builtins.eval subprocess.run numpy.load torch.load torch.hub.load joblib.load pickle.loads
functools.partial hydra.utils.instantiate omegaconf.OmegaConf.load pathlib.Path torch.nnx.Linear
torch.nn.modules.module.torch.load torch.optim.optimizer.torch.hub.load
labelnoise.files.writing.os.system
torch.nn.modules.module.register_module_forward_hook torch.nn.Module.load_state_dict torch.nn
torch.optim.swa_utils.update_bn torchvision.models.WeightsEnum.get_state_dict
torchvision.models.Weights.get_state_dict torchvision.models._api.load_state_dict_from_url
torchvision.models.feature_extraction.create_feature_extractor pytorch_lightning.cli.LightningCLI
pytorch_lightning.Trainer.fit torchmetrics.functional.accuracy torchmetrics.text.CharErrorRate
torchmetrics.image.StructuralSimilarityIndexMeasure torch.nn.Linear.__init__
torch.nn.Linear.__class__
labelnoise.train labelnoise.training.train.train labelnoise.training.building.instantiate
labelnoise.config.targets.find
labelnoise.config.targets.instantiate labelnoise.config.targets.hydra_instantiate
labelnoise.files.writing.write_text labelnoise.training.launcher.launch
labelnoise.data.cifar_files.fetch labelnoise.noise.NoiseRecord.load
labelnoise.report.loaded.np.load labelnoise.sweeps.report.SweepReport labelnoise.nothing.X
labelnoise.attribution.checkpoint.torch.load labelnoise.techniques.two_networks.pl.Trainer
"""
NO_PATHS = (
    "",
    "eval",
    "os.",
    ".os",
    "a..b",
    "os.system\n",
    "ös.system",
    "a b.c",
    3,
    None,
    ["os.x"],
)


@pytest.mark.parametrize("target", ALLOWED.split())
def test_parts_of_the_listed_libraries_are_found(target: str) -> None:
    assert find(target).__name__ == target.rpartition(".")[2]


@pytest.mark.parametrize("target", [*REFUSED.split(), *NO_PATHS])
def test_anything_else_is_refused_in_one_line(target: Any) -> None:
    with pytest.raises(InputError, match="_target_") as refused:
        find(target)
    assert "\n" not in str(refused.value).replace("os.system\n", "")


def test_the_targets_of_every_file_are_allowed() -> None:
    named = [
        word
        for path in CONF_DIR.rglob("*.yaml")
        if "hydra" not in path.parts and path.parent != CONF_DIR
        for word in re.findall(r"_target_: (\S+)", path.read_text())
    ]
    assert len(named) > 40
    for target in named:
        find(target)


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that leaves a file when it is imported, and one when its class is made."""
    module = tmp_path / "stranger" / "strange_parts.py"
    module.parent.mkdir()
    module.write_text(
        "from pathlib import Path\n"
        "from torch import load\n"
        "HERE = Path(__file__).parent\n"
        "(HERE / 'imported').touch()\n"
        "class Part:\n"
        "    def __init__(self, **_):\n"
        "        (HERE / 'made').touch()\n"
    )
    monkeypatch.syspath_prepend(str(module.parent))
    yield module.parent
    sys.modules.pop("strange_parts", None)


def marks(stranger: Path) -> set[str]:
    return {path.name for path in stranger.iterdir()} & {"imported", "made"}


PART = {"_target_": "strange_parts.Part"}


def test_a_module_of_ones_own_is_allowed_by_name_alone(stranger: Path) -> None:
    with pytest.raises(InputError, match=r"strange_parts.Part is not allowed: .*allow_targets=\["):
        instantiate(PART)
    with pytest.raises(InputError, match="is not allowed"):
        instantiate(PART, ["strange", "strange_parts.Part.x", "other"])
    assert marks(stranger) == set()
    instantiate(PART, ["strange_parts"])
    assert marks(stranger) == {"imported", "made"}
    with pytest.raises(InputError, match="is the function load of torch.serialization"):
        find("strange_parts.load", ["strange_parts"])


# Wherever a node can hide; Hydra's own keys make no difference.
HIDDEN: dict[str, Any] = {
    "itself": PART,
    "an argument": {"_target_": "torch.nn.Identity", "x": PART},
    "a list": {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.ReLU"}, PART]},
    "deep": {"_target_": "torch.nn.Identity", "a": {"b": [[{"c": PART}]]}},
    "not recursive": {"_target_": "torch.nn.Identity", "_recursive_": False, "x": PART},
    "partial": {**PART, "_partial_": True},
    "converted": {"_target_": "torch.nn.Identity", "_convert_": "all", "x": PART},
    "an interpolation": {"_target_": "${.name}.Part", "name": "strange_parts"},
    "an escaped one": {"_target_": "torch.nn.Identity", "x": r"\${oc.create:{a: 1}}"},
    "made from text": {
        "_target_": "torch.nn.Identity",
        "x": "${oc.create:'{_target_: strange_parts.Part}'}",
    },
}


@pytest.mark.parametrize("where", HIDDEN)
def test_a_node_is_found_wherever_it_hides(where: str, stranger: Path) -> None:
    node = HIDDEN[where]
    for given in (node, OmegaConf.create({"part": node}).part):
        with pytest.raises(InputError, match=r"not allowed|interpolation|must be a class"):
            instantiate(given)
    assert marks(stranger) == set()


PLACES: dict[str, dict[str, Any]] = {
    "data": {"data._target_": "strange_parts.Part"},
    "noise": {"noise._target_": "strange_parts.Part"},
    "model": {"model._target_": "strange_parts.Part"},
    "an option of the model": {"model.extra": PART},
    "optimizer": {"optimizer._target_": "strange_parts.Part"},
    "scheduler": {"scheduler": {**PART, "interval": "step"}},
    "technique": {"technique.x": PART},
    "monitor": {"monitor.x": PART},
    "logger": {"logger.x": PART},
    "trainer": {"trainer._target_": "strange_parts.Part"},
    "a profiler": {"trainer.profiler": PART},
    "technique_preset": {"technique_preset.rules": {"x": [PART]}},
}


def poisoned(config: DictConfig, where: str, *, allowing: bool) -> DictConfig:
    OmegaConf.set_struct(config, False)
    for key, value in PLACES[where].items():
        OmegaConf.update(config, key, value, merge=False)
    config.allow_targets = ["strange_parts"] if allowing else []
    return config


def begin(path: Path) -> None:
    """A directory as a run leaves it when it has begun."""
    path.mkdir()
    RunDirectory(path).manifest.update(versions=versions())


@pytest.mark.parametrize("where", PLACES)
def test_every_path_that_builds_refuses_before_it_imports(
    where: str, stranger: Path, tmp_path: Path, tiny_config: Callable[..., DictConfig]
) -> None:
    cfg = poisoned(tiny_config(), where, allowing=False)
    calls: dict[str, Callable[[], Any]] = {
        "check": lambda: check(cfg),
        "train": lambda: train(cfg, tmp_path / "run"),
    }
    if where not in ("technique_preset",):  # which nothing makes a part of
        begin(tmp_path / "rank")
        calls["a rank"] = lambda: run_rank(cfg, tmp_path / "rank", [])
    if where in ("data", "noise", "model", "an option of the model", "optimizer", "scheduler"):
        calls["build_learner"] = lambda: build_learner(cfg)
    if where in ("trainer", "a profiler"):
        cfg.trainer.devices = 2
        calls["processes"] = lambda: processes_of(cfg.trainer)
    for call in calls.values():
        with pytest.raises(InputError, match=r"strange_parts.Part is not allowed|model.extra does"):
            call()
    assert marks(stranger) == set()
    assert not (tmp_path / "run").exists()


@pytest.fixture
def somebodys(
    tmp_path: Path, tiny_config: Callable[..., DictConfig], stranger: Path
) -> Callable[[str], Path]:
    """A saved run; its config.yaml names a part and allows this part itself."""

    def make(where: str) -> Path:
        run = tmp_path / "theirs"
        begin(run)
        (run / ".hydra").mkdir()
        config = poisoned(tiny_config("name=theirs"), where, allowing=True)
        OmegaConf.save(config, run / ".hydra" / "config.yaml", resolve=True)
        (run / ".hydra" / "overrides.yaml").write_text("[]")
        (run / "checkpoints").mkdir()
        torch.save({"state_dict": {"model.x": torch.ones(1)}}, run / "checkpoints/selected.ckpt")
        return run

    return make


@pytest.mark.parametrize("where", ["model", "technique", "a profiler"])
def test_somebody_elses_run_is_not_executed(
    where: str,
    somebodys: Callable[[str], Path],
    stranger: Path,
    tiny_config: Callable[..., DictConfig],
) -> None:
    run = somebodys(where)
    before = sorted(run.rglob("*"))
    with pytest.raises(InputError, match="strange_parts.Part is not allowed"):
        train(tiny_config(f"resume={run}", "allow_targets=[]"), run.parent / "new")
    with pytest.raises(InputError, match="strange_parts.Part is not allowed"):
        load_trained(run)
    assert marks(stranger) == set() and sorted(run.rglob("*")) == before
    # Said now, it counts.
    with pytest.raises(Exception, match=r"(?s)."):
        train(tiny_config(f"resume={run}", "allow_targets=[strange_parts]"), run.parent / "new")
    if where == "model":
        with pytest.raises(InputError):
            load_trained(run, allow_targets=["strange_parts"])
    assert marks(stranger) == {"imported", "made"}


def test_the_report_takes_the_modules_that_are_typed(
    somebodys: Callable[[str], Path], stranger: Path
) -> None:
    from labelnoise.report.__main__ import main

    run = somebodys("model")
    with pytest.raises(InputError, match="strange_parts.Part is not allowed"):
        main(["attribution", str(run)])
    assert marks(stranger) == set()
    with pytest.raises(InputError):  # the part is no network, but it was made
        main(["attribution", str(run), "--allow-targets", "strange_parts"])
    assert marks(stranger) == {"imported", "made"}


@pytest.mark.slow
def test_callbacks_in_a_runs_configuration_are_not_called(
    somebodys: Callable[[str], Path], stranger: Path
) -> None:
    """Hydra composes its own part of the configuration from conf/ and the command line."""
    run = somebodys("technique")
    file = run / ".hydra" / "config.yaml"
    config = OmegaConf.load(file)
    assert isinstance(config, DictConfig)
    del config["technique"]["x"]
    config.hydra = {"callbacks": {"x": PART}, "launcher": PART}
    OmegaConf.save(config, file)
    done = subprocess.run(
        [sys.executable, "run.py", f"resume={run}"], cwd=ROOT, capture_output=True, text=True,
        check=False, env={"PYTHONPATH": str(stranger), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("error: hydra")
    assert marks(stranger) == set()


@pytest.mark.parametrize("words", ["allow_targets=x", "allow_targets=[1]", "allow_targets=['a b']"])
def test_modules_come_as_a_list(words: str, tiny_config: Callable[..., DictConfig]) -> None:
    with pytest.raises(InputError, match="allow_targets must be a list of modules"):
        check(tiny_config(words))


def test_allowed_modules_are_no_part_of_a_runs_identity(
    run_tiny: Run, tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    run_tiny("max_steps=2")
    summary = train(tiny_config("max_steps=2", "allow_targets=[mine]"), tmp_path / "run")
    assert summary["step"] == 2


def test_one_module_alone_instantiates() -> None:
    """Hydra's functions that look up or call a target, under whatever name."""
    word = re.compile(
        r"hydra\.utils|hydra_instantiate|get_object|get_class|get_method|_locate|hydra\._internal"
        r"|import_module|__import__"
    )
    users = {
        path.relative_to(PACKAGE).as_posix(): sorted(set(word.findall(path.read_text())))
        for path in PACKAGE.rglob("*.py")
        if word.search(path.read_text())
    }
    assert users.pop("config/targets.py")
    assert users == {
        "__init__.py": ["import_module"],
        "config/remembered.py": ["hydra._internal"],  # composes configurations, builds nothing
        "report/__main__.py": ["import_module"],
    }
    code = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert not re.search(r"\b(eval|exec)\(|weights_only=False|allow_pickle=True", code.replace(
        ".eval()", ""))  # fmt: skip


def test_a_part_of_the_library_is_made_as_by_hydra() -> None:
    made = instantiate({"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5})
    optimizer = made([torch.nn.Parameter(torch.zeros(1))])
    assert optimizer.defaults["lr"] == 0.5

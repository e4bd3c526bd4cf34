"""Two networks with one optimizer are two networks with an optimizer each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn import functional as F

from labelnoise.data.batch import Batch
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.learner.two_networks import Term, TwoNetworkClassifier
from labelnoise.run_directory import claim
from labelnoise.seeding import derive_seed
from labelnoise.training.building import build
from tests.conftest import Run

SECOND = derive_seed(0, "network", 1)
ALONE = ("technique=co_teaching", "technique.co_teaching.forget_rate=0")

OPTIMIZERS = {
    "momentum": ("optimizer=sgd", "optimizer.lr=0.3", "optimizer.momentum=0.9"),
    "adam": ("optimizer=adam", "optimizer.lr=0.01"),
}


def networks(path: Path, checkpoint: str = "selected") -> dict[str, dict[str, Tensor]]:
    """The weights in a checkpoint, by network."""
    saved = torch.load(path / "checkpoints" / f"{checkpoint}.ckpt", weights_only=True)
    found: dict[str, dict[str, Tensor]] = {}
    for name, value in saved["state_dict"].items():
        network, _, parameter = name.partition(".")
        found.setdefault(network, {})[parameter] = value
    return found


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    torch.testing.assert_close(ours, theirs, atol=0, rtol=0)


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS])
@pytest.mark.parametrize("technique", ["co_teaching", "jocor"])
def test_a_run_is_a_loop_with_two_optimizers(
    tiny_config: Callable[..., DictConfig], tmp_path: Path, optimizer: str, technique: str
) -> None:
    """Four passes of three batches in float64, against the method written out in full."""
    cfg = tiny_config(
        f"technique={technique}", f"technique.{technique}.warmup_epochs=2", "noise_rate=0.3",
        *OPTIMIZERS[optimizer], "optimizer.weight_decay=0.01",
        "data.dtype=float64", "batch_size=7", "max_steps=12",
    )  # fmt: skip
    with claim(tmp_path / "run", cfg, []) as run:
        parts = build(cfg, run)
    classifier, data = parts.classifier, parts.datamodule
    assert isinstance(classifier, TwoNetworkClassifier)
    begun = [w.detach().clone() for w in classifier.parameters()]
    assert not torch.equal(begun[0], begun[1])
    seen: list[Tensor] = []
    classifier.model.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].clone()) if module.training else None
    )
    parts.trainer.fit(classifier, datamodule=data)
    assert parts.trainer.global_step == len(seen) == 12

    with claim(tmp_path / "again", cfg, []) as run:
        ours = build(cfg, run).classifier
    first, second = ours.networks
    rule: Any = classifier.optimizer
    optimizers = [rule(network.parameters()) for network in (first, second)]
    # Which samples a batch had is found from its inputs.
    place = {tuple(x.flatten().tolist()): i for i, x in enumerate(data.train.input)}
    for step, input in enumerate(seen):
        label = data.train.label[[place[tuple(x.flatten().tolist())] for x in input]]
        rate = min(step // 3 / 2 * 0.3, 0.3)
        count = round((1 - rate) * len(label))
        one, two = first(input), second(input)
        if technique == "co_teaching":
            losses = [F.cross_entropy(x, label, reduction="none") for x in (one, two)]
            easy = [sorted(range(len(label)), key=x.tolist().__getitem__) for x in losses]
            total = losses[0][easy[1][:count]].mean() + losses[1][easy[0][:count]].mean()
        else:
            p, q = one.softmax(1), two.softmax(1)
            mutual = (p * (p / q).log()).sum(1) + (q * (q / p).log()).sum(1)
            entropy = -sum(x[range(len(label)), label].log() for x in (p, q))
            joint = 0.5 * entropy + 0.5 * mutual
            total = joint[sorted(range(len(label)), key=joint.tolist().__getitem__)[:count]]
            total = total.mean()
        for part in optimizers:
            part.zero_grad()
        total.backward()
        for part in optimizers:
            part.step()
    for mine, theirs, start in zip(ours.parameters(), classifier.parameters(), begun, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-12, rtol=1e-9)
        assert (mine - start).abs().max() > 1e-3


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS])
@pytest.mark.slow
def test_networks_that_leave_nothing_out_are_two_plain_runs(
    run_tiny: Run, tmp_path: Path, optimizer: str
) -> None:
    """Bit for bit, batches and metrics too; the second is the plain run of its own model.seed."""
    options = (*OPTIMIZERS[optimizer], "batch_size=7", "max_steps=30")
    both = run_tiny(*options, *ALONE, name="both")
    one = run_tiny(*options, name="one")
    two = run_tiny(*options, f"model.seed={SECOND}", name="two")
    trained = networks(tmp_path / "both")
    assert_same(trained["model"], networks(tmp_path / "one")["model"])
    assert_same(trained["second"], networks(tmp_path / "two")["model"])
    assert both["final"].pop("test/acc_second") == two["final"]["test/acc"]
    assert both["final"] == one["final"] and both["report_card"] == one["report_card"]


@pytest.mark.parametrize(("rule", "most"), [("norm", "0.01"), ("value", "0.0001")])
def test_clipping_is_by_the_norm_of_each_network(
    run_tiny: Run, tmp_path: Path, rule: str, most: str
) -> None:
    options = ("max_steps=10", "optimizer.lr=0.5", f"+trainer.gradient_clip_algorithm={rule}")
    clip = f"+trainer.gradient_clip_val={most}"
    run_tiny(*options, clip, *ALONE, name="both")
    run_tiny(*options, clip, name="one")
    run_tiny(*options, name="free")
    both, one, free = (networks(tmp_path / name)["model"] for name in ("both", "one", "free"))
    torch.testing.assert_close(both, one, atol=1e-9, rtol=1e-6)
    assert not torch.allclose(both["weight"], free["weight"], atol=1e-5)


def batch_of(n: int) -> Batch:
    label = torch.arange(n) % 2
    return Batch(torch.randn(n, 3, generator=torch.Generator().manual_seed(n)), label, label,
                 torch.arange(n))  # fmt: skip


def learner(**options: Any) -> TwoNetworkClassifier:
    torch.manual_seed(0)
    made = TwoNetworkClassifier(
        nn.Linear(3, 2), nn.Linear(3, 2), partial(torch.optim.SGD, lr=0.1), **options
    )
    made.sample_weight = torch.ones(8)
    return made


def test_weights_multiply_what_is_kept() -> None:
    made = learner()
    made.sample_weight = torch.tensor([1.0, 0.5, 0.0, 2.0])
    values = torch.tensor([1.0, 2.0, 4.0, 8.0])
    kept = torch.tensor([True, True, True, False])
    nobody = torch.zeros(4, dtype=torch.bool)
    made.pair_loss = lambda first, second, batch: [Term(values, kept), Term(values, nobody)]
    loss = made.training_step(batch_of(4), 0)["loss"]
    assert loss.item() == pytest.approx((1.0 * 1 + 0.5 * 2) / 1.5)


def test_a_process_without_samples_asks_all_the_same_and_adds_gradients_of_0() -> None:
    made = learner()
    asked: list[int] = []
    original = made.pair_loss

    def ask(first: Tensor, second: Tensor, batch: Batch) -> list[Term]:
        asked.append(len(first))
        return original(first, second, batch)

    made.pair_loss = ask
    out = made.training_step(batch_of(0), 0)
    out["loss"].backward()
    assert asked == [0] and len(out["logits"]) == 0
    for parameter in made.parameters():
        assert parameter.grad is not None and not parameter.grad.any()


def test_what_is_set_up_is_set_up_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    torch.manual_seed(0)
    made = TwoNetworkClassifier(
        nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), torch.optim.SGD, compile=True, channels_last=True
    )
    assert compiled == [made.model, made.second]
    for network in made.networks:
        assert network.get_parameter("weight").is_contiguous(memory_format=torch.channels_last)
    assert isinstance(made, NoisyLabelClassifier)


def test_both_networks_train_in_training_mode_also_after_monitors_looked(run_images: Run) -> None:
    modes: set[tuple[bool, bool]] = set()
    original = TwoNetworkClassifier._train_on

    def watch(module: TwoNetworkClassifier, batch: Batch, *logits: Tensor) -> dict[str, Tensor]:
        modes.add((module.model.training, module.second.training))
        return original(module, batch, *logits)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TwoNetworkClassifier, "_train_on", watch)
        run_images("technique=co_teaching", "max_epochs=2")
    assert modes == {(True, True)}

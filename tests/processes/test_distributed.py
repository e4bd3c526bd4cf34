"""Communication between processes: in one process, in two, and with simulated processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from labelnoise.learner import loss
from labelnoise.learner.loss import weighted_mean
from labelnoise.models import TwoLayerCNN
from labelnoise.processes import distributed
from labelnoise.processes.distributed import (
    EqualBuffers,
    agreed,
    changing_buffers,
    from_rank_zero,
    gather_rows,
    gather_samples,
    is_rank_zero,
    mean_over_ranks,
    rank,
    share_of,
    world_size,
)


@given(st.integers(0, 50), st.integers(1, 9))
def test_shares_are_all_of_it_in_order_and_of_nearly_one_size(n: int, world: int) -> None:
    shares = [list(range(n))[share_of(n, r, world)] for r in range(world)]
    assert [i for share in shares for i in share] == list(range(n))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1 and sizes[0] == max(sizes)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1)), min_size=1, max_size=12), st.data())
def test_the_mean_of_the_ranks_losses_is_the_loss_of_the_whole_batch(
    rows: list[tuple[float, float]], data: st.DataObject
) -> None:
    value, weight = torch.tensor(rows, dtype=torch.float64).unbind(1)
    world = data.draw(st.integers(1, 4))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), min_size=world - 1,
                                     max_size=world - 1)))  # fmt: skip
    parts = list(zip(value.tensor_split(cuts), weight.tensor_split(cuts), strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss, "mean_over_ranks", lambda _: weight.sum() / world)
        losses = [weighted_mean(*part) for part in parts]
    torch.testing.assert_close(sum(losses) / world, weighted_mean(value, weight))


def test_one_process_keeps_what_it_has() -> None:
    assert (rank(), world_size(), is_rank_zero()) == (0, 1, True)
    value = torch.tensor([0.3, 0.7])
    assert mean_over_ranks(value) is value and from_rank_zero(value) is value
    assert torch.equal(gather_rows(value), value[None])


def test_no_sample_comes_twice() -> None:
    index, values = gather_samples(torch.tensor([4, 1, 4]), torch.eye(3))
    assert index.tolist() == [1, 4]
    assert values.tolist() == [[0, 1, 0], [1, 0, 0]]
    index, values = gather_samples(torch.arange(0), torch.zeros(0, 3))
    assert index.shape == (0,) and values.shape == (0, 3)


def test_the_rank_is_known_before_the_processes_are_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(distributed.RANK, "1")
    monkeypatch.setenv(distributed.WORLD_SIZE, "3")
    assert (rank(), world_size(), is_rank_zero()) == (1, 3, False)


def test_buffers_that_follow_from_the_seed_need_no_word() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), TwoLayerCNN((2, 8), 2))
    assert changing_buffers(model).keys() == {
        "0.running_mean", "0.running_var", "0.num_batches_tracked",
    }  # fmt: skip


def talk(me: int, store: str) -> None:
    """The checks in each of two processes; rank 1 has one sample and then none."""
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=me, world_size=2)
    assert (rank(), world_size()) == (me, 2)
    assert mean_over_ranks(torch.tensor([float(me), 2.0])).tolist() == [0.5, 2.0]
    assert agreed(0.1 + me, 7.0) == (0.1, 7.0)
    mine = torch.tensor([me], dtype=torch.uint8)
    assert from_rank_zero(mine).item() == 0 and mine.item() == me
    assert gather_rows(mine).tolist() == [[0], [1]]
    index = torch.tensor([[5, 0, 3], [4]][me])
    gathered, values = gather_samples(index, torch.stack([index, -index], 1).double())
    assert gathered.tolist() == [0, 3, 4, 5]
    assert values.tolist() == [[0, 0], [3, -3], [4, -4], [5, -5]]
    index = torch.tensor([[2], []][me], dtype=torch.long)
    gathered, values = gather_samples(index, index > 0)
    assert gathered.tolist() == [2] and values.tolist() == [True]
    norm = nn.BatchNorm1d(2)
    norm(torch.full((4, 2), float(me + 1)))
    EqualBuffers().on_train_batch_end(None, norm)  # type: ignore[arg-type]
    assert norm.running_mean is not None and norm.running_mean.tolist() == pytest.approx([0.1, 0.1])
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_tell_each_other(tmp_path: Path) -> None:
    mp.spawn(talk, (str(tmp_path / "store"),), nprocs=2)

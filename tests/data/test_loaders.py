"""Batches against slow references, and runs that were interrupted against ones that were not."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import transforms

from labelnoise.data.batch import Batch, Split
from labelnoise.data.loaders import (
    Augment,
    Normalize,
    TensorLoader,
    batches_so_far,
    crop_and_flip,
)
from labelnoise.errors import InputError
from labelnoise.seeding import stream
from tests.conftest import present

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def make_split(n: int = 10, size: int = 4) -> Split:
    generator = torch.Generator().manual_seed(n)
    images = torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)
    clean = torch.arange(n) % 3
    label = (clean + (torch.arange(n) % 4 == 0)) % 3
    return Split(images, label, clean, torch.arange(n) + 100, Normalize(MEAN, STD))


def indices(batches: Iterable[Batch]) -> list[list[int]]:
    return [batch.index.tolist() for batch in batches]


# Normalize


def test_normalize_is_to_tensor_and_normalize_for_every_byte() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1).repeat(1, 3, 2, 2)
    reference = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    expected = torch.stack([reference(image.permute(1, 2, 0).numpy()) for image in images])
    assert (Normalize(MEAN, STD)(images) - expected).abs().max() <= 1e-6


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalize_leaves_its_input_alone(dtype: torch.dtype) -> None:
    images = torch.full((2, 3, 2, 2), 7, dtype=dtype)
    output = Normalize(MEAN, STD)(images)
    assert output.dtype == torch.float32
    assert torch.equal(images, torch.full((2, 3, 2, 2), 7, dtype=dtype))


@pytest.mark.parametrize(("mean", "std"), [([0.5], [0.0]), ([0.5], [-1.0]), ([0.5, 0.5], [1.0])])
def test_normalize_refuses(mean: list[float], std: list[float]) -> None:
    with pytest.raises(InputError, match="above 0"):
        Normalize(mean, std)


# crop_and_flip


def crop_and_flip_reference(
    images: torch.Tensor, padding: int, generator: torch.Generator
) -> torch.Tensor:
    """One image after the other: pad, cut, mirror."""
    n, _, h, w = images.shape
    places = torch.randint(0, 2 * padding + 1, (2, n), generator=generator)
    mirrored = torch.rand(n, generator=generator) < 0.5
    outputs = []
    for i in range(n):
        padded = F.pad(images[i], [padding] * 4)
        top, left = places[:, i].tolist()
        crop = padded[:, top : top + h, left : left + w]
        outputs.append(crop.flip(2) if mirrored[i] else crop)
    return torch.stack(outputs)


@given(
    shape=st.tuples(*[st.integers(1, top) for top in (6, 3, 7, 7)]),
    padding=st.integers(0, 5),
    seed=st.integers(0, 10**6),
    dtype=st.sampled_from([torch.uint8, torch.float32]),
)
@settings(max_examples=60)
def test_crop_and_flip_is_the_loop_over_images(
    shape: tuple[int, ...], padding: int, seed: int, dtype: torch.dtype
) -> None:
    images = torch.arange(1, 1 + math.prod(shape)).view(shape).to(dtype)
    before = images.clone()
    output = crop_and_flip(images, padding, torch.Generator().manual_seed(seed))
    expected = crop_and_flip_reference(images, padding, torch.Generator().manual_seed(seed))
    assert output.dtype == dtype
    assert torch.equal(output, expected)
    assert torch.equal(images, before)


def test_crop_and_flip_reaches_every_place_and_side() -> None:
    images = torch.arange(1, 10, dtype=torch.uint8).view(1, 1, 3, 3).repeat(2000, 1, 1, 1)
    output = crop_and_flip(images, 1, torch.Generator().manual_seed(0))
    assert len(output.unique(dim=0)) == 2 * 3 * 3
    mirrored = (output[:, 0, 1, 0] > output[:, 0, 1, 2]) & (output[:, 0, 1, 2] > 0)
    upright = (output[:, 0, 1, 0] < output[:, 0, 1, 2]) & (output[:, 0, 1, 0] > 0)
    assert 0.42 < mirrored.sum() / (mirrored.sum() + upright.sum()) < 0.58


# TensorLoader


def loader_reference(
    split: Split,
    batch_size: int,
    shuffle_seed: int | None,
    padding: int | None,
    augment_seed: int,
    passes: int,
) -> list[tuple[list[int], torch.Tensor]]:
    """Sample by sample, with the streams that the docstring names."""
    t, batches = 0, []
    for number in range(passes):
        order: Sequence[int] = range(len(split))
        if shuffle_seed is not None:
            order = torch.randperm(
                len(split), generator=stream(shuffle_seed, "shuffle", number)
            ).tolist()
        for first in range(0, len(split), batch_size):
            index = list(order[first : first + batch_size])
            images = torch.stack([split.input[i] for i in index])
            if padding is not None:
                generator = stream(augment_seed, "augment", t)
                images = crop_and_flip_reference(images, padding, generator)
            pixels = images.double() / 255
            mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
            batches.append((index, (pixels - mean) / std))
            t += 1
    return batches


@given(
    n=st.integers(1, 12),
    batch_size=st.integers(1, 14),
    shuffle_seed=st.one_of(st.none(), st.integers(0, 99)),
    padding=st.one_of(st.none(), st.integers(0, 2)),
    passes=st.integers(1, 3),
    epochs=st.integers(1, 2),
    data=st.data(),
)
@settings(max_examples=60)
def test_every_batch_depends_on_the_seeds_and_its_number_alone(
    n: int,
    batch_size: int,
    shuffle_seed: int | None,
    padding: int | None,
    passes: int,
    epochs: int,
    data: st.DataObject,
) -> None:
    split = make_split(n)
    expected = loader_reference(split, batch_size, shuffle_seed, padding, 5, passes * epochs)
    start = data.draw(st.integers(0, len(expected) - 1))
    loader = TensorLoader(
        split,
        batch_size,
        shuffle_seed=shuffle_seed,
        augment=None if padding is None else partial(crop_and_flip, padding=padding),
        augment_seed=5,
        passes=passes,
        start=start,
    )
    assert len(loader) == len(expected) // epochs
    served: list[Batch] = []
    while len(served) < len(expected) - start:
        epoch_end = (loader.position // len(loader) + 1) * len(loader)
        served += list(loader)
        assert loader.position == epoch_end
    for batch, (index, images) in zip(served, expected[start:], strict=True):
        assert batch.index.tolist() == index
        torch.testing.assert_close(batch.input.double(), images, atol=1e-6, rtol=0)
        assert torch.equal(batch.label, split.label[index])
        assert torch.equal(batch.clean_label, split.clean_label[index])


@given(
    n=st.integers(1, 12),
    batch_size=st.one_of(st.none(), st.integers(1, 5)),
    world_size=st.integers(1, 5),
    shuffle_seed=st.one_of(st.none(), st.integers(0, 99)),
    augment=st.sampled_from([None, partial(crop_and_flip, padding=1)]),
    passes=st.integers(1, 3),
    start=st.integers(0, 3),
)
@settings(max_examples=60)
def test_the_ranks_shares_are_the_batches_of_one_process_in_order(
    n: int,
    batch_size: int | None,
    world_size: int,
    shuffle_seed: int | None,
    augment: Augment | None,
    passes: int,
    start: int,
) -> None:
    def loader(size: int | None, **options: Any) -> TensorLoader:
        return TensorLoader(
            make_split(n), size, shuffle_seed=shuffle_seed, augment=augment, augment_seed=5,
            passes=passes, start=start, **options,
        )  # fmt: skip

    whole = loader(batch_size and batch_size * world_size)
    ranks = [loader(batch_size, rank=r, world_size=world_size) for r in range(world_size)]
    assert {len(rank) for rank in ranks} == {len(whole)}
    for batch, *shares in zip(whole, *ranks, strict=True):
        for expected, *parts in zip(batch, *shares, strict=True):
            assert torch.equal(torch.cat(parts), expected)
        sizes = [len(share.index) for share in shares]
        assert max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)


def test_every_pass_has_every_sample_once_and_an_order_of_its_own() -> None:
    loader = TensorLoader(make_split(10), 4, shuffle_seed=0, passes=3)
    batches = indices(loader)
    assert [len(index) for index in batches] == [4, 4, 2] * 3
    passes = [list(chain(*batches[p : p + 3])) for p in (0, 3, 6)]
    assert all(sorted(order) == list(range(10)) for order in passes)
    assert passes[0] != passes[1] != passes[2]


def test_augmentation_differs_from_pass_to_pass() -> None:
    loader = TensorLoader(make_split(6), 6, augment=partial(crop_and_flip, padding=2))
    (first,), (second,) = list(loader), list(loader)
    assert torch.equal(first.index, second.index)
    assert not torch.equal(first.input, second.input)


def test_full_batch_is_one_object_in_order() -> None:
    split = make_split(7)
    loader = TensorLoader(split, None, shuffle_seed=3, passes=50)
    batches = list(loader)
    assert len(loader) == len(batches) == 50
    assert all(batch is batches[0] for batch in batches)
    assert batches[0].index.tolist() == list(range(7))
    assert torch.equal(batches[0].input, present(split.normalize)(split.input[:]))


def test_full_batch_without_normalisation_is_the_split_itself() -> None:
    label = torch.arange(4)
    split = Split(torch.randn(4, 2, generator=stream(0, "x")), label, label, label)
    (batch,) = TensorLoader(split, None)
    assert batch.input.data_ptr() == split.input[:].data_ptr()


def test_full_batch_is_augmented_afresh_at_every_step() -> None:
    loader = TensorLoader(
        make_split(7), None, augment=partial(crop_and_flip, padding=2), passes=2, augment_seed=1
    )
    first, second = loader
    assert len(first.label) == len(second.label) == 7
    assert not torch.equal(first.input, second.input)


def test_full_batch_adds_less_than_20_microseconds_a_step() -> None:
    def seconds_per_step() -> float:
        loader = TensorLoader(make_split(200), None, passes=3000)
        started = time.perf_counter()
        for _ in loader:
            pass
        return (time.perf_counter() - started) / 3000

    assert min(seconds_per_step() for _ in range(3)) < 20e-6


def test_position_counts_the_batches_served_and_iterating_goes_on_from_it() -> None:
    loader = TensorLoader(make_split(10), 3, shuffle_seed=0, passes=2)
    whole = indices(TensorLoader(make_split(10), 3, shuffle_seed=0, passes=2))
    begun = indices(islice(loader, 3))
    assert loader.position == 3
    assert begun + indices(loader) == whole
    assert loader.position == 8


def test_evaluation_begins_at_the_first_sample_whatever_broke_off_before() -> None:
    loader = TensorLoader(make_split(10), 3)
    assert indices(islice(loader, 2)) == [[0, 1, 2], [3, 4, 5]]
    assert indices(loader) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    # With a start it is a training in order, which is continued.
    loader = TensorLoader(make_split(10), 3, start=0)
    assert indices(islice(loader, 2)) == [[0, 1, 2], [3, 4, 5]]
    assert indices(loader) == [[6, 7, 8], [9]]


@pytest.mark.parametrize(("limit", "epoch"), [(None, 10), (3, 3), (99, 10), (0.3, 3), (1.0, 10)])
def test_epochs_are_as_short_as_the_limit(limit: int | float | None, epoch: int) -> None:
    loader = TensorLoader(make_split(10), 1, shuffle_seed=0, limit=limit)
    assert len(loader) == 10  # the trainer applies its limit to this
    assert [len(list(loader)) for _ in range(5)] == [epoch] * 5
    resumed = TensorLoader(make_split(10), 1, shuffle_seed=0, limit=limit, start=4 * epoch + 1)
    assert len(list(resumed)) == epoch - 1


def test_an_empty_split_serves_nothing() -> None:
    split = make_split(4).subset(torch.arange(0))
    assert len(TensorLoader(split, 3)) == 0
    assert list(TensorLoader(split, 3)) == list(TensorLoader(split, None)) == []


def test_nothing_is_drawn_from_the_global_stream() -> None:
    before = torch.get_rng_state()
    list(TensorLoader(make_split(), 3, shuffle_seed=0, augment=partial(crop_and_flip, padding=1)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": 2, "passes": 0}])
def test_loader_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="write 1 or more"):
        TensorLoader(make_split(), **options)


# In Lightning


class Data(pl.LightningDataModule):
    def __init__(self, passes: int = 1) -> None:
        super().__init__()
        self.passes = passes

    def train_dataloader(self) -> TensorLoader:
        assert self.trainer is not None
        return TensorLoader(
            make_split(10),
            3,
            shuffle_seed=1,
            augment=partial(crop_and_flip, padding=1),
            augment_seed=1,
            passes=self.passes,
            start=batches_so_far(self.trainer),
            limit=self.trainer.limit_train_batches,
        )

    def val_dataloader(self) -> TensorLoader:
        return TensorLoader(make_split(5), 2)


class Witness(pl.LightningModule):
    """Records its training and validation batches; fails in the middle of step ``fail_at``."""

    def __init__(self, fail_at: int | None = None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(48, 3)
        self.fail_at = fail_at
        self.trained: list[tuple[list[int], float]] = []
        self.validated: list[list[int]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        if len(self.trained) == self.fail_at:
            raise RuntimeError("in the middle of a step")
        self.trained.append((batch.index.tolist(), batch.input.double().sum().item()))
        return F.cross_entropy(self.layer(batch.input.flatten(1)), batch.label)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.validated.append(batch.index.tolist())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveEverywhere(pl.Callback):
    """A checkpoint from every hook that people save from, with the number of batches done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.saved: list[tuple[str, int]] = []

    def save(self, trainer: pl.Trainer, witness: pl.LightningModule, hook: str) -> None:
        assert isinstance(witness, Witness)
        path = str(self.folder / f"{hook}-{len(self.saved)}.ckpt")
        trainer.save_checkpoint(path)
        self.saved.append((path, len(witness.trained)))

    def on_train_batch_end(self, trainer: pl.Trainer, witness: pl.LightningModule, *_: Any) -> None:
        self.save(trainer, witness, "batch")

    def on_train_epoch_end(self, trainer: pl.Trainer, witness: pl.LightningModule) -> None:
        self.save(trainer, witness, "epoch")

    def on_validation_end(self, trainer: pl.Trainer, witness: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self.save(trainer, witness, "validation")

    def on_exception(
        self, trainer: pl.Trainer, witness: pl.LightningModule, exception: BaseException
    ) -> None:
        self.save(trainer, witness, "exception")


def fit(
    witness: Witness,
    passes: int = 1,
    callbacks: Sequence[pl.Callback] = (),
    checkpoint: str | None = None,
    **options: Any,
) -> Witness:
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **options,
    )
    trainer.fit(witness, datamodule=Data(passes), ckpt_path=checkpoint, weights_only=True)
    return witness


@pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable.*")
@pytest.mark.parametrize(
    ("passes", "options"),
    [
        (1, {"max_epochs": 3}),
        (1, {"max_epochs": 2, "val_check_interval": 2}),
        (3, {"max_steps": 10}),
        (1, {"max_epochs": 2, "accumulate_grad_batches": 2}),
        (1, {"max_epochs": 3, "limit_train_batches": 3}),
    ],
)
def test_a_resumed_run_sees_the_batches_of_an_uninterrupted_one(
    tmp_path: Path, passes: int, options: dict[str, Any]
) -> None:
    everywhere = SaveEverywhere(tmp_path)
    whole = fit(Witness(), passes, [everywhere], **options).trained
    length = options.get("limit_train_batches", 4 * passes)
    expected = loader_reference(make_split(10), 3, 1, 1, 1, 9)
    assert [index for index, _ in whole] == [index for index, _ in expected[: len(whole)]]
    if "max_epochs" in options:
        assert len(whole) == options["max_epochs"] * length
    assert len(everywhere.saved) > len(whole)
    for path, done in everywhere.saved:
        resumed = fit(Witness(), passes, checkpoint=path, **options).trained
        # A checkpoint from after the last batch may leave nothing to do; none repeats a batch.
        assert resumed == whole[done:], path


@pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable.*")
def test_a_batch_whose_step_failed_is_served_again(tmp_path: Path) -> None:
    whole = fit(Witness(), max_epochs=2).trained
    everywhere = SaveEverywhere(tmp_path)
    failing = Witness(fail_at=5)
    with pytest.raises(RuntimeError, match="in the middle"):
        fit(failing, callbacks=[everywhere], max_epochs=2)
    path, done = everywhere.saved[-1]
    assert "exception" in path
    assert done == 5
    assert failing.trained + fit(Witness(), checkpoint=path, max_epochs=2).trained == whole


def test_validation_after_a_sanity_check_misses_no_batch() -> None:
    witness = fit(Witness(), max_epochs=2, num_sanity_val_steps=2)
    whole = [[0, 1], [2, 3], [4]]
    assert witness.validated == whole[:2] + whole + whole


def test_a_run_without_a_trainer_begins_at_0() -> None:
    assert batches_so_far(None) == 0

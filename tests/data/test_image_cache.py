"""Images on disk: the results of images in memory, decoded once, never torn."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from labelnoise.config.composition import compose, config_hash
from labelnoise.data import image_cache, image_lists, images
from labelnoise.data.image_cache import CacheFiles, Form, ImageCache, cached, default_folder
from labelnoise.data.image_folder import ImageFolderDataModule
from labelnoise.data.mapped import MappedImages
from labelnoise.errors import InputError
from labelnoise.report.tables.caches import report_caches
from tests.conftest import Kill, Run, present
from tests.folders import make, one_line

FORM = Form(8, 3, (255, 255, 255))
DECODED, READ, TORN = "are decoded once", "decoded images are read", "is torn"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def on_disk(root: Path, folder: Path, **options: Any) -> ImageFolderDataModule:
    return make(root, cache="disk", cache_dir=folder, **options)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was done with caches since the last call."""
    words = [key for m in caplog.messages for key in (DECODED, READ, TORN) if key in m]
    caplog.clear()
    return words


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "labelnoise")
    return caplog


# The same as in memory


@pytest.mark.parametrize("batch_size", ["10", pytest.param("null", marks=pytest.mark.slow)])
def test_a_run_from_disk_is_the_run_in_memory(
    run_images: Run, tmp_path: Path, folder: Path, batch_size: str
) -> None:
    words = ["max_epochs=2", f"batch_size={batch_size}", "noise=instance", "data.augment=true"]
    words.append("monitor=[memorization,dynamics]")
    run_images(*words, "data.cache=memory", name="memory")
    run_images(*words, "data.cache=disk", f"data.cache_dir={folder}", name="disk")
    for name in ("metrics.csv", "suspects.csv"):
        expected = (tmp_path / "memory" / name).read_bytes()
        assert (tmp_path / "disk" / name).read_bytes() == expected
    assert len(list(folder.glob("*.npy"))) == 1


def test_runs_that_differ_in_the_place_of_the_images_are_the_same_run() -> None:
    words = ["data=image_folder", "data.root=images"]
    other = compose([*words, "data.cache=disk", "data.cache_dir=somewhere"])
    assert config_hash(other) == config_hash(compose(words))
    assert config_hash(other) != config_hash(compose([*words, "data.image_size=9"]))


@pytest.mark.slow
def test_an_interrupted_run_continues_from_the_other_place(
    run_images: Run, tmp_path: Path, folder: Path, killed_at: Kill
) -> None:
    words = ("max_epochs=2", "monitor=none")
    run_images(*words, "data.cache=memory", name="whole")
    with killed_at(8):
        run_images(*words, "data.cache=memory")
    run_images(*words, "data.cache=disk", f"data.cache_dir={folder}")
    expected = (tmp_path / "whole" / "metrics.csv").read_bytes()
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == expected


@pytest.mark.parametrize(
    "options", [{"fold": [1, 3]}, {"val_fraction": 0.3}, {"per_class": 4, "test_per_class": 2}]
)
def test_splits_on_disk_are_those_in_memory(root: Path, folder: Path, options: Any) -> None:
    expected, data = make(root, **options), on_disk(root, folder, **options)
    for name in ("train", "val", "test"):
        ours, theirs = present(getattr(data, name)), present(getattr(expected, name))
        assert isinstance(ours.input, MappedImages) and isinstance(theirs.input, torch.Tensor)
        assert torch.equal(ours.input[:], theirs.input)
        assert torch.equal(ours.input.to(torch.device("cpu")), theirs.input)
        assert torch.equal(torch.stack(list(ours.input)), theirs.input)
        chosen = torch.randperm(len(theirs), generator=torch.Generator().manual_seed(0))[:3]
        for mine, other in zip(ours.batch(chosen), theirs.batch(chosen), strict=True):
            assert torch.equal(present(mine), present(other)) if other is not None else not mine
        assert torch.equal(ours.subset(chosen).input[:], theirs.subset(chosen).input)
        assert torch.equal(ours.subset(ours.label == 1).input[:], theirs.input[theirs.label == 1])
        assert ours.nbytes == theirs.nbytes


def test_an_image_from_disk_can_be_changed_without_changing_the_file(
    root: Path, folder: Path
) -> None:
    input = on_disk(root, folder).train.input
    before = input[:]
    for taken in (input[0], input[:2], input.index_select(0, torch.tensor([0]))):
        taken += 1
    assert torch.equal(input[:], before)


# Decoded once


def test_all_runs_on_the_same_files_share_a_cache(
    root: Path, folder: Path, told: pytest.LogCaptureFixture
) -> None:
    on_disk(root, folder)
    (line,) = [m for m in told.messages if DECODED in m]
    assert "42 images of 3 x 8 x 8 bytes take 8.06 kB" in line and str(folder) in line
    assert said(told) == [DECODED]
    for options in ({"fold": [0, 3]}, {"per_class": 3, "augment": True}, {"unreadable": "skip"}):
        on_disk(root, folder, **options)
        assert said(told) == [READ]
    for options in ({"image_size": 9}, {"channels": 1}, {"background": "black"}):
        on_disk(root, folder, **options)
        assert said(told) == [DECODED]


def test_changed_files_are_decoded_again(
    root: Path, folder: Path, told: pytest.LogCaptureFixture
) -> None:
    on_disk(root, folder)
    path = root / "train" / "dog" / "7.png"
    state = path.stat()
    Image.new("RGB", (12, 12), (1, 2, 3)).save(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # as a copying program may do
    said(told)
    data = on_disk(root, folder, val_fraction=0)
    assert said(told) == [DECODED]
    assert data.train.input[data.files.index("train/dog/7.png")][:, 0, 0].tolist() == [1, 2, 3]


def shorten(cache: Path) -> None:
    os.truncate(cache, cache.stat().st_size - 1)


def overwrite(cache: Path) -> None:
    with cache.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x07")


def lose_marker(cache: Path) -> None:
    cache.with_suffix(".json").unlink()


def tear_marker(cache: Path) -> None:
    marker = cache.with_suffix(".json")
    os.truncate(marker, marker.stat().st_size // 2)


@pytest.mark.parametrize("damage", [shorten, overwrite, lose_marker, tear_marker, Path.unlink])
def test_a_torn_cache_is_decoded_again(
    root: Path, folder: Path, told: pytest.LogCaptureFixture, damage: Any
) -> None:
    expected = on_disk(root, folder).train.input[:]
    (cache,) = folder.glob("*.npy")
    damage(cache)
    said(told)
    assert torch.equal(on_disk(root, folder).train.input[:], expected)
    assert said(told) == [TORN, DECODED]
    on_disk(root, folder)
    assert said(told) == [READ]


def decode(root: Path, files: list[str], folder: Path, results: Any) -> None:
    logging.basicConfig(level=logging.INFO)
    done: list[int] = []
    original = image_cache._decode

    def counted(root: Path, files: Sequence[str], form: Form, cache: CacheFiles) -> None:
        done.append(1)
        original(root, files, form, cache)

    image_cache._decode = counted  # in this process alone
    found = cached(root, files, FORM, folder)
    results.put((len(done), int(found.images.astype(np.int64).sum())))


def test_of_processes_that_start_together_one_decodes(root: Path, folder: Path) -> None:
    files = make(root, val_fraction=0).files
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [
        context.Process(target=decode, args=(root, files, folder, results)) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    counts, sums = zip(*(results.get(timeout=30) for _ in workers), strict=True)
    for worker in workers:
        worker.join()
    expected = make(root, val_fraction=0).train.input[:]
    assert sorted(counts) == [0, 0, 0, 1]
    assert set(sums) == {int(expected.sum())}


# Unreadable images and notes


def test_a_cache_keeps_what_was_left_out_and_read_in_part(
    root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (root / "train" / "cat" / "3.png", root / "test" / "eel" / "0.png"):
        path.write_bytes(b"no image")
    frames = [Image.new("RGB", (12, 12), (k, 0, 0)) for k in (5, 200)]
    frames[0].save(root / "train" / "dog" / "0.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="2 of 43 files cannot be read") as in_memory:
        make(root, val_fraction=0)
    for _ in range(2):  # decoded, then read
        with pytest.raises(InputError) as error:
            on_disk(root, folder, val_fraction=0)
        assert one_line(error) == one_line(in_memory)
    expected = make(root, unreadable="skip")
    assert expected.left_out == {"unreadable": 2, "later_frames": 1}
    monkeypatch.setattr(image_cache, "decode_into", None)  # nothing is decoded again
    monkeypatch.setattr(image_lists, "find_unreadable", None)
    data = on_disk(root, folder, unreadable="skip")
    assert data.left_out == expected.left_out
    assert data.unreadable == expected.unreadable
    assert data.files == expected.files
    assert torch.equal(data.train.input[:], expected.train.input[:])


def test_an_unreadable_colour_image_does_not_make_grey_images_coloured(
    root: Path, folder: Path
) -> None:
    for path in root.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    path = root / "train" / "cat" / "0.png"
    pixels = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[:1000])  # the head says that it has colours
    data, expected = (
        on_disk(root, folder, unreadable="skip"),
        make(root, cache="memory", unreadable="skip"),
    )
    assert data.input_shape == expected.input_shape == (1, 8, 8)
    assert torch.equal(data.train.input[:], expected.train.input[:])


# Memory


@pytest.mark.parametrize(("free", "is_mapped"), [(2 * 42 * 192, False), (2 * 42 * 192 - 1, True)])
def test_auto_is_memory_if_the_images_fit_into_half_of_it(
    root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, free: int, is_mapped: bool
) -> None:
    monkeypatch.setattr(image_lists, "available_memory", lambda: free)
    assert make(root, cache_dir=folder).is_mapped is is_mapped
    assert not make(root, cache_dir=folder, per_class=9).is_mapped
    assert folder.exists() is is_mapped


def test_full_batches_need_memory_also_from_disk(
    root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed: list[int] = []

    def check(size: int, *_: str) -> str:
        needed.append(size)
        return ""

    monkeypatch.setattr(images, "check_fits", check)
    make(root, batch_size=None)
    on_disk(root, folder)  # needs none
    on_disk(root, folder, batch_size=None)
    assert needed == [192 * (5 * 30 + 12), 192 * 5 * 30]


# Bad input


def test_a_folder_that_cannot_be_written_is_one_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Not a directory.*data.cache=memory") as error:
        on_disk(root, tmp_path / "file" / "cache")
    one_line(error)


def no_space(*args: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_one_line_and_leaves_no_file(
    root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="42 images .* but only .* are free") as error:
        on_disk(root, folder, image_size=1_000_000)
    one_line(error)
    monkeypatch.setattr(os, "posix_fallocate", no_space)
    with pytest.raises(InputError, match="No space left on device") as error:
        on_disk(root, folder)
    one_line(error)
    assert {path.suffix for path in folder.iterdir()} <= {".lock"}


def test_files_that_change_during_decoding_are_refused(
    root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = iter(["a" * 32, "b" * 32])
    monkeypatch.setattr(image_cache, "key_of", lambda *_: next(keys))
    with pytest.raises(InputError, match="changed while they were read"):
        on_disk(root, folder)
    assert not list(folder.glob("*.npy")) and not list(folder.glob("*.json"))


# The list of caches


def test_caches_are_listed_and_removed(root: Path, folder: Path) -> None:
    on_disk(root, folder)
    on_disk(root, folder, image_size=9)
    first, second, last = report_caches(folder).splitlines()
    assert last == f"2 image caches, 18.5 kB in {folder}"
    assert "10.3 kB" in first and "42 images" in first and first.endswith(str(root))
    assert "8.19 kB" in second
    on_disk(root, folder)  # is now the last used
    assert "8.19 kB" in report_caches(folder).splitlines()[0]
    (folder / "mine.npy").touch()
    small, large = sorted(folder.glob("[0-9a-f]*.npy"), key=lambda path: path.stat().st_size)
    with FileLock(large.with_suffix(".lock")):
        line = report_caches(folder, clear=True)
    assert line == f"removed 1 image caches, 8.19 kB, from {folder}; 1 are being written and stay"
    assert large.exists() and not small.exists()
    report_caches(folder, clear=True)
    assert [path.name for path in folder.iterdir()] == ["mine.npy"]
    with pytest.raises(InputError, match="none is not a folder"):
        report_caches(folder / "none")


def test_the_default_folder_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/labelnoise")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_folder() == Path.home() / ".cache" / "labelnoise"


def test_notes_are_counted_for_the_chosen_images() -> None:
    cache = ImageCache(np.zeros((4, 1, 1, 1), np.uint8), {}, {"exif": frozenset({0, 2, 3})})
    assert cache.count_notes([2, 1, 3]) == {"exif": 2}
    assert cache.count_notes([1]) == {}

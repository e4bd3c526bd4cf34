"""MNIST and Fashion-MNIST from scripted files, raw and compressed, without the internet."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from labelnoise.config.composition import compose
from labelnoise.data import idx_files
from labelnoise.data.mnist import FashionMNISTDataModule, MNISTDataModule
from labelnoise.errors import InputError
from labelnoise.noise import NoNoise
from labelnoise.training.building import build_learner
from labelnoise.training.train import train
from tests.conftest import present
from tests.idx import idx, write_mnist


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", [MNISTDataModule, FashionMNISTDataModule])
def test_images_and_labels_are_those_of_the_files(
    kind: type[MNISTDataModule], packed: bool, tmp_path: Path
) -> None:
    written = write_mnist(tmp_path, kind.files.__name__, packed=packed)
    data = kind(NoNoise(), root=tmp_path, download=False, batch_size=10, val_fraction=0.0)
    data.prepare_data()
    data.setup()
    for part, (image, label) in written.items():
        split = present(getattr(data, part))
        assert split.input.dtype == torch.uint8
        assert np.array_equal(split.input[:, 0], image)
        assert np.array_equal(split.clean_label, label)
    mean, std = kind.grey
    found = data.train.batch().input[0, 0].numpy()
    np.testing.assert_allclose(found, (written["train"][0][0] / 255 - mean) / std, atol=1e-5)
    assert len(data.class_names) == 10 and data.sources()["data.root"] is not None


def test_a_mirrored_digit_is_refused_and_a_mirrored_shoe_is_not(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    write_mnist(tmp_path, "FashionMNIST")
    words = [f"data.root={tmp_path}", "data.augment=true", "data.download=false"]
    with pytest.raises(InputError, match="a mirrored digit is not a digit"):
        build_learner(compose(["data=mnist", *words]))
    build_learner(compose(["data=fashion_mnist", *words]))


def test_a_run_learns_the_bright_rows(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    words = (
        "data=mnist", f"data.root={tmp_path}", "data.download=false", "model=linear", "noise=none",
        "max_epochs=3", "batch_size=10", "optimizer.lr=0.003", "threads=1", "logger=none",
        "trainer.enable_progress_bar=false", "figures=false", "monitor=memorization",
    )  # fmt: skip
    assert train(compose([*words]), tmp_path / "run")["final"]["test/acc"] > 0.9


def test_missing_files_are_downloaded_and_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(tmp_path)
    write_mnist(tmp_path / "web", packed=True)
    folder, web = tmp_path / "MNIST" / "raw", tmp_path / "web" / "MNIST" / "raw"
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match="1 of 4 files missing, the first is t10k-labels-idx1-u"):
        idx_files.fetch(MNISTDataModule.files, tmp_path, download=False)
    asked = []

    def copy(url: str, download_root: str, filename: str, md5: str) -> None:
        asked.append(url)
        if "yann.lecun" not in url:
            raise OSError("no network")
        (Path(download_root) / filename[:-3]).write_bytes(
            gzip.decompress((web / filename).read_bytes())
        )

    monkeypatch.setattr(idx_files, "download_and_extract_archive", copy)
    kept = (folder / "train-images-idx3-ubyte").stat().st_mtime_ns
    idx_files.fetch(MNISTDataModule.files, tmp_path, download=True)
    assert [url.rpartition("/")[2] for url in asked] == ["t10k-labels-idx1-ubyte.gz"] * 2
    assert (folder / "train-images-idx3-ubyte").stat().st_mtime_ns == kept
    assert idx_files.read_idx(folder / "t10k-labels-idx1-ubyte").shape == (40,)
    shutil.rmtree(folder)
    monkeypatch.setattr(MNISTDataModule.files, "mirrors", ["http://nowhere/"])
    with pytest.raises(InputError, match=r"cannot be downloaded \(http://nowhere/: no network\)"):
        idx_files.fetch(MNISTDataModule.files, tmp_path, download=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", b"", "not an IDX file of bytes, or it is incomplete"),
        ("train-images-idx3-ubyte", idx(np.zeros((40, 28, 28)))[:-1], "incomplete"),
        ("train-images-idx3-ubyte", b"\x80\x04" + 40 * b"x", "not an IDX file"),
        ("train-images-idx3-ubyte", idx(np.zeros((40, 8, 8))), r"the shape \(40, 8, 8\), not"),
        ("t10k-labels-idx1-ubyte", idx(np.zeros(39)), r"shape \(39,\) for 40 images"),
        ("t10k-labels-idx1-ubyte", idx(np.full(40, 10)), "the label 10, above 9"),
        ("t10k-labels-idx1-ubyte.gz", b"\x1f\x8b torn", "cannot be read"),
    ],
)
def test_damaged_files_are_refused_in_one_line(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    write_mnist(tmp_path)
    file = tmp_path / "MNIST" / "raw" / name
    file.with_suffix("").unlink(missing_ok=True)
    file.write_bytes(content)
    data = MNISTDataModule(NoNoise(), root=tmp_path, download=False)
    with pytest.raises(InputError, match=message) as raised:
        data.setup()
    assert "\n" not in str(raised.value) and str(file.with_suffix("")) in str(raised.value)

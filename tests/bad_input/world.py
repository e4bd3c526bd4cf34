"""The folder in which the rows are called: right and wrong files, finished and damaged runs."""

from __future__ import annotations

import io
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from labelnoise.files.manifest import Manifest
from tests.bad_input.harness import call

FAST = "logger=none figures=false trainer.enable_progress_bar=false threads=1 output_dir=out "
IMAGES = (
    "data=image_folder data.root=images data.image_size=8 data.cache=memory model=two_layer_cnn "
    "model.filters=4 optimizer=sgd optimizer.lr=0.1 batch_size=10 max_epochs=1"
)


def png(value: int = 100, side: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (value, value, value)).save(out, "PNG")
    return out.getvalue()


def bomb() -> bytes:
    """A PNG file that says it has 100,000 x 100,000 pixels."""
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]  # no array has the name allow_pickle
    return out.getvalue()


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("a.txt", "a")
    return out.getvalue()


def table(rows: list[str], header: str = "x1,x2,label") -> str:
    return "\n".join([header, *rows]) + "\n"


def correction(row: str, data: str = "labels-de6abfde3e5d156e") -> str:
    """A decision for the folder ``images``, with the fingerprint of its names and labels."""
    return table([f"{row},{data}"], "sample,given_label,decision,label,data")


POINTS = [f"{i % 7},{i % 5},{'ab'[i % 2]}" for i in range(40)]
PATHS = [f"images/train/{c}/{i:02}.png,{c}" for c in "ab" for i in range(20)]
NAMES = [f"train/{c}/{i:02}.png" for c in "ab" for i in range(30)]
SIMPLEX = np.full((40, 2), 0.5)
RNG = np.random.default_rng(0)

# The files of the world by their paths.
FILES: dict[str, str | bytes] = {
    # features
    "points.csv": table(POINTS),
    "empty.csv": "",
    "header.csv": "x1,x2,label\n",
    "text.csv": table([*POINTS, "high,1,a"]),
    "nan.csv": table([*POINTS, "nan,1,a"]),
    "hole.csv": table([*POINTS, ",1,a"]),
    "ragged.csv": table([*POINTS, "1,2"]),
    "wide.csv": table([*POINTS, "1,2,3,a"]),
    "nolabel.csv": table([*POINTS, "1,2,"]),
    "twice.csv": table(POINTS, "x1,x1,label"),
    "one_class.csv": table([p.replace("b", "a") for p in POINTS]),
    "only_labels.csv": table(["a", "b"] * 9, "label"),
    "huge.csv": table([*POINTS, "1e999,1,a"]),
    "zero.csv": table(POINTS).encode() + b"\0,1,a\n",
    "latin.csv": table([*POINTS, "1,2,\xe4"]).encode("latin-1"),
    "split.csv": table([p + ",train" for p in POINTS] + ["1,2,a,dev"], "x1,x2,label,split"),
    "no_train.csv": table([p + ",test" for p in POINTS], "x1,x2,label,split"),
    "ids.csv": table([p + ",7" for p in POINTS], "x1,x2,label,id"),
    "text.npz": "this is no npz file",
    "no_y.npz": npz(X=RNG.normal(size=(40, 3))),
    "short_y.npz": npz(X=RNG.normal(size=(40, 3)), y=np.arange(39) % 2),
    "flat.npz": npz(X=RNG.normal(size=40), y=np.arange(40) % 2),
    "words.npz": npz(X=np.full((40, 3), "a"), y=np.arange(40) % 2),
    "inf.npz": npz(X=np.full((40, 3), np.inf), y=np.arange(40) % 2),
    "pickled.npz": npz(X=RNG.normal(size=(40, 3)), y=np.array(["a", 1] * 20, dtype=object)),
    "text.parquet": "this is no Parquet file",
    # tables of images
    "paths.csv": table(PATHS, "path,label"),
    "paths_no_label.csv": table([p.split(",")[0] for p in PATHS], "path"),
    "paths_no_path.csv": table([p.split(",")[1] + ",1" for p in PATHS], "label,x"),
    "paths_missing.csv": table([*PATHS, "images/none.png,a"], "path,label"),
    "paths_folder.csv": table([*PATHS, "images,a"], "path,label"),
    "paths_twice.csv": table([*PATHS, PATHS[0][:-1] + "b"], "path,label"),
    "paths_hole.csv": table([*PATHS, "images/test/a/00.png,"], "path,label"),
    "paths_wide.csv": table([*PATHS, "images/test/a/00.png,a,b"], "path,label"),
    "paths_split.csv": table([p + ",train" for p in PATHS] + ["images/test/a/00.png,a,other"],
                             "path,label,split"),
    "paths_test.csv": table([p + ",test" for p in PATHS], "path,label,split"),
    "paths_one.csv": table([p for p in PATHS if p.endswith("a")], "path,label"),
    "paths_text.csv": table([*PATHS, "points.csv,a"], "path,label"),
    "paths_zip.csv": table([*PATHS, "zip.png,a"], "path,label"),
    "paths_bomb.csv": table([*PATHS, "bomb.png,a"], "path,label"),
    "paths_cut.csv": table([*PATHS, "cut.png,a"], "path,label"),
    "paths_latin.csv": table([*PATHS, "\xe4.png,a"], "path,label").encode("latin-1"),
    "paths_zero.csv": table([*PATHS, "images/\0.png,a"], "path,label"),
    "paths_quote.csv": table([*PATHS, '"images/none.png,a'], "path,label"),
    "zip.png": zipped(),
    "bomb.png": bomb(),
    "cut.png": png()[:50],
    # folders of images
    "no_images/train/a/readme.txt": "no image",
    "one_class/train/a/0.png": png(),
    "one_class/train/a/1.png": png(),
    "loose/0.png": png(),
    "zip/train/a/0.png": zipped(),
    "zip/train/b/0.png": png(),
    "cut/train/a/0.png": png()[:50],
    "cut/train/b/0.png": png(),
    "bomb/train/a/0.png": bomb(),
    "bomb/train/b/0.png": png(),
    "empty_image/train/a/0.png": b"",
    "empty_image/train/b/0.png": png(),
    "other_test/train/a/0.png": png(),
    "other_test/train/b/0.png": png(),
    "other_test/test/c/0.png": png(),
    "few/train/a/0.png": png(),
    "few/train/b/0.png": png(),
    # labels of a folder
    "labels_unknown.csv": table([f"{n},a" for n in [*NAMES, "train/c/0.png"]], "file,label"),
    "labels_few.csv": table([f"{n},a" for n in NAMES[:5]], "file,label"),
    "labels_other.csv": table([f"{n},c" for n in NAMES], "file,label"),
    "labels_twice.csv": table([f"{n},a" for n in [*NAMES, NAMES[0]]], "file,label"),
    "labels_no_file.csv": table(["a,a"], "image,label"),
    # corrections
    "corrections_foreign.csv": correction("train/a/00.png,a,change,b", "labels-0"),
    "corrections_unknown.csv": correction("train/a/99.png,a,change,b"),
    "corrections_empty.csv": "",
    "corrections_columns.csv": table(["a,b"], "file,what"),
    "corrections_decision.csv": correction("train/a/00.png,a,maybe,b"),
    "corrections_label.csv": correction("train/a/00.png,a,change,c"),
    "corrections_given.csv": correction("train/a/00.png,b,change,a"),
    "corrections_nothing.csv": table([], "sample,given_label,decision,label,data"),
    # label noise
    "not_square.csv": "0.9,0.1\n",
    "not_one.csv": "0.9,0.2\n0.1,0.9\n",
    "negative.csv": "1.1,-0.1\n0,1\n",
    "matrix_text.csv": "0.9,x\n0.1,0.9\n",
    "matrix_names.csv": "a,c\n0.9,0.1\n0.1,0.9\n",
    "three.csv": "1,0,0\n0,1,0\n0,0,1\n",
    "noise_short.npz": npz(
        kind=np.array("symmetric"), num_classes=np.array(2), label=np.zeros(3, int),
        clean_label=np.zeros(3, int),
    ),
    "noise_foreign.npz": npz(X=np.zeros(3)),
    "human_short.csv": "clean,worse_label\n0,1\n",
    "human_foreign.csv": "x,y\n0,1\n",
    # predictions for an audit
    "probs.npy": npy(SIMPLEX),
    "probs_short.npy": npy(SIMPLEX[:39]),
    "probs_large.npy": npy(SIMPLEX * 3),
    "probs_negative.npy": npy(SIMPLEX - 1),
    "probs_nan.npy": npy(SIMPLEX * np.nan),
    "probs_sum.npy": npy(SIMPLEX * 0.5),
    "probs_flat.npy": npy(SIMPLEX[:, 0]),
    "probs_text.npy": npy(np.full((40, 2), "a")),
    "probs_pickled.npy": npy(np.full((40, 2), None)),
    "probs_one.npy": npy(SIMPLEX[:, :1]),
    "probs_empty.npy": b"",
    "labels.csv": table(list("ab") * 20, "label"),
    "labels_numbers.npy": npy(np.arange(40) % 2),
    "labels_large.npy": npy(np.arange(40)),
    "labels_column.csv": table(list("ab") * 20, "class"),
    "labels_float.npy": npy(np.full(40, 0.5)),
    "code.npy": pickle.dumps(print),
    # own parts
    "own/model/broken.yaml": "_target_: [\n",
    "own/model/none.yaml": "_target_: labelnoise.models.Nothing\n",
    "own/model/evil.yaml": "_target_: os.system\ncommand: touch evil\n",
    "own/model/module.yaml": "_target_: my_module_that_is_not_there.Net\n",
    "own/model/list.yaml": "- 1\n",
    "own/model/empty.yaml": "",
    "own/model/no_target.yaml": "width: 5\n",
    "own/model/tabs.yaml": "a:\n\tb: 1\n",
    "own/model/binary.yaml": b"\xff\xfe\0\0",
    "same/model/cnn.yaml": "_target_: labelnoise.models.CNN\n",
    "plain.txt": "plain",
}  # fmt: skip


def make_world(root: Path) -> None:
    """Write the files, and make the runs by their own commands."""
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    draw = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 10)):
        for name, mean in (("a", 90), ("b", 160)):
            (root / "images" / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = draw.normal(mean, 30, (8, 8, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / "images" / part / name / f"{i:02}.png")
    for name in ("home", "void", "sealed"):
        (root / name).mkdir()
    (root / "dangling").symlink_to("nowhere")
    finish(root, "run", f"{FAST} {IMAGES} noise=symmetric monitor=[memorization,dynamics]", "run")
    finish(root, "run", f"{FAST} max_steps=5 data.n=20 data.d=60 data.n_test=20 data.n_val=0",
           "theory")  # fmt: skip
    tiny = "x.points=2 y.points=2 seeds=1 steps=10 setting.d=100 test_samples=10 output_dir=out"
    finish(root, "map", tiny, "map")
    for name, change in DAMAGES.items():
        shutil.copytree(root / "run", root / name)
        change(root / name)
    for seed in range(2):
        words = f"{FAST} {IMAGES} noise=symmetric seed={seed}"
        finish(root, "run", words, f"sweep/{seed}")
    (root / "sealed").chmod(0)


def finish(root: Path, door: str, words: str, name: str) -> None:
    ended = call(
        door, f"{words} name={name}".replace("output_dir=out", "output_dir=.").split(), root
    )
    assert ended.status == 0, ended.stderr
    assert (root / name).is_dir()


def _rewrite(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        path = run / name
        path.write_text(change(path.read_text()))

    return damage


def _older(run: Path) -> None:
    manifest = Manifest(run)
    manifest.update(versions=dict.fromkeys(manifest.section("versions"), "0.0.1"))


# Damages to a copy of the finished run.
DAMAGES: dict[str, Callable[[Path], None]] = {
    "unfinished": lambda run: (run / "summary.json").unlink(),
    "old_version": _older,
    "cut_summary": _rewrite("summary.json", lambda text: text[: len(text) // 2]),
    "list_summary": _rewrite("summary.json", lambda text: "[]"),
    "cut_manifest": _rewrite("manifest.json", lambda text: text[:20]),
    "empty_metrics": _rewrite("metrics.csv", lambda text: ""),
    "foreign_metrics": _rewrite("metrics.csv", lambda text: "a,b\n1,2\n"),
    "broken_config": _rewrite(".hydra/config.yaml", lambda text: "a: [\n"),
    "evil_config": _rewrite(
        ".hydra/config.yaml",
        lambda text: text.replace("labelnoise.models.TwoLayerCNN", "os.system"),
    ),
    "no_config": lambda run: shutil.rmtree(run / ".hydra"),
    "no_noise": lambda run: (run / "noise.npz").unlink(),
    "no_dynamics": lambda run: shutil.rmtree(run / "dynamics"),
}

"""The base class of data sets of image files: read once, in one form, with labels from the user."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor

from labelnoise.checks import COUNT, check_number, check_word
from labelnoise.data.decoding import decode_all, describe_unreadable, find_unreadable
from labelnoise.data.found_images import Found, ImageList
from labelnoise.data.image_cache import Form, ImageCache, cached, default_folder
from labelnoise.data.image_files import NOTES, WHITE, colour_of, is_grey
from labelnoise.data.images import NORMALIZATION, ImageDataModule, normalization
from labelnoise.data.left_out import describe_left_out
from labelnoise.data.loaders import Normalize
from labelnoise.data.mapped import Inputs, MappedImages, rows_of
from labelnoise.data.memory import available_memory
from labelnoise.data.samples import Samples
from labelnoise.errors import InputError
from labelnoise.files.label_words import some
from labelnoise.files.writing import listing_of
from labelnoise.noise import LabelNoise, NoiseRecord

log = logging.getLogger(__name__)


class ImageListDataModule(ImageDataModule):
    """Image files of a user; a subclass finds them and their labels with :meth:`find`.

    Args:
        noise: the label noise.
        root: the folder of the files.
        image_size: side of the images; the shorter side is resized to it, and the centre is
            cropped.
        channels: 1 or 3; None is 1 if all images are greyscale, else 3.
        background: the colour of transparent pixels, by name or as red, green, blue.
        unreadable: "refuse" or "skip" files that cannot be decoded. With "skip" every file is
            decoded twice, because the labels of the other files are drawn and split in between;
            a cache on disk is not decoded again.
        cache: "memory": decode the images into memory at every start. "disk": decode them once into
            a memory-mapped file, see :func:`labelnoise.data.image_cache.cached`; the results are
            the same. "auto": "memory" if the images fit into half of the free memory, else "disk".
        cache_dir: the folder of these files; None is ``labelnoise`` in the cache folder of the
            user.
        mean, std: of each channel, on the scale of 0 to 1; None is that of natural images.
        options: the options of :class:`ImageDataModule`.

    Attributes (after ``setup``):
        files: the training images; a source index is a position in this list.
        test_files: the test images.
        left_out: number of files that are not read or read only in part, by the keys of ``REASONS``
            in left_out.py and of ``NOTES`` in image_files.py.

    Raises:
        InputError: at set-up, images or labels that cannot be used.
    """

    record_kind = "csv"
    files: list[str]
    test_files: list[str]
    _cache: ImageCache
    can_map = True
    size_options = "data.image_size, data.per_class or data.test_per_class"

    def __init__(
        self,
        noise: LabelNoise,
        *,
        root: str | Path,
        image_size: int = 32,
        channels: int | None = None,
        background: Any = WHITE,
        unreadable: Literal["refuse", "skip"] = "refuse",
        cache: Literal["auto", "memory", "disk"] = "auto",
        cache_dir: str | Path | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        **options: Any,
    ) -> None:
        if channels is not None:
            check_word("data.channels", channels, sorted(NORMALIZATION))
        self.channels = channels
        self._mean, self._std = mean, std
        written = [len(values) for values in (mean, std) if values is not None]
        likely = channels or (written[0] if written else 3)
        super().__init__(noise, **normalization(likely, mean, std), **options)
        check_number("data.image_size", image_size, COUNT)
        check_word("data.unreadable", unreadable, ("refuse", "skip"))
        check_word("data.cache", cache, ("auto", "memory", "disk"))
        self.root = Path(root).expanduser()
        self.image_size = image_size
        self.background = colour_of(background)
        self.skips_unreadable = unreadable == "skip"
        self.cache = cache
        self.cache_dir = default_folder() if cache_dir is None else Path(cache_dir).expanduser()

    def find(self) -> Found:
        """Find the images and their labels without decoding them."""
        raise NotImplementedError(f"{type(self).__name__} has no images: write find()")

    def file_names(self) -> list[str]:
        """The files of :meth:`find`."""
        raise NotImplementedError(f"{type(self).__name__} has no images: write file_names()")

    def sources(self) -> dict[str, str | None]:
        """With a fingerprint of names, sizes and times of the images; reading all would be slow."""
        try:
            found = listing_of(self.root, self.file_names())
        except (InputError, OSError):  # raised again when the images are read
            found = None
        return super().sources() | {"data.root": found}

    def read(self) -> tuple[Samples, Samples | None]:
        found = self.find()
        files = found.files
        channels, why = self._find_channels(files)
        self.is_mapped = self._is_for_disk(found, channels)
        if self.is_mapped:
            self._open_cache(files, channels)
        found = self._readable(found)
        self.class_names = found.class_names
        self._describe(found)
        self._train, self._test = found.train, found.test
        self.files = found.train.files
        self.test_files = [] if found.test is None else found.test.files
        if len(found.files) < len(files):  # the unreadable images do not count
            before, (channels, why) = channels, self._find_channels(found.files)
            if self.is_mapped and channels != before:
                self._open_cache(files, channels)
        self._set_channels(channels, why)
        return self._samples(found.train), None if found.test is None else self._samples(found.test)

    def _is_for_disk(self, found: Found, channels: int) -> bool:
        """Whether the images are mapped from a file."""
        if self.cache != "auto":
            return self.cache == "disk"
        free, classes = available_memory(), len(found.class_names)
        counts = [len(found.train.files), 0 if found.test is None else len(found.test.files)]
        most = (self.per_class, self.test_per_class)
        train, test = (
            n if m is None else min(n, m * classes) for n, m in zip(counts, most, strict=True)
        )
        self.input_shape = (channels, self.image_size, self.image_size)
        return free is not None and self._memory(train, test) > free / 2

    def _open_cache(self, files: Sequence[str], channels: int) -> None:
        form = Form(self.image_size, channels, self.background)
        self._cache = cached(self.root, files, form, self.cache_dir)
        self._row_of = {file: row for row, file in enumerate(files)}

    def _readable(self, found: Found) -> Found:
        """The images without the files that cannot be decoded, if they are to be skipped."""
        if not self.skips_unreadable:
            return found
        train, test = found.train, found.test
        files = found.files
        failures = (
            self._cache.unreadable
            if self.is_mapped
            else find_unreadable([self.root / file for file in files], self.image_size)
        )
        self.unreadable = {files[i]: reason for i, reason in failures.items()}
        is_read = torch.ones(len(files), dtype=torch.bool)
        is_read[list(failures)] = False
        kept = train.subset(is_read[: len(train.files)].nonzero().flatten())
        kept_test = test and test.subset(is_read[len(train.files) :].nonzero().flatten())
        lost = set(train.label.tolist()) - set(kept.label.tolist())
        if lost or (kept_test is not None and not kept_test.files):
            where = (
                f"class {some([found.class_names[k] for k in sorted(lost)])}" if lost else "test"
            )
            raise InputError(
                f"{self.root}: none of the images of {where} can be read, the first of "
                f"{len(failures)} unreadable files is {next(iter(self.unreadable))}; replace them"
            )
        left_out = found.left_out + Counter(unreadable=len(failures))
        return Found(found.class_names, kept, kept_test, left_out, found.endings)

    def _describe(self, found: Found) -> None:
        """Log the numbers of images that are read and left out."""
        why = describe_left_out(found.left_out, found.endings)
        test = "no" if found.test is None else len(found.test.files)
        log.log(
            logging.WARNING if why else logging.INFO,
            f"{self.root}: {len(found.train.files)} training and {test} test images in "
            f"{len(found.class_names)} classes; left out: {why or 'nothing'}",
        )
        self.left_out = dict(found.left_out)

    def _find_channels(self, files: Sequence[str]) -> tuple[int, str | None]:
        """The number of channels, and the reason if it is not an option."""
        if self.channels is not None:
            return self.channels, None
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            colour = next((f for f in files if not is_grey(self.root / f, self.background)), None)
        if colour is None:
            return 1, "all images are greyscale"
        return 3, f"{colour} has colours"

    def _set_channels(self, channels: int, why: str | None) -> None:
        if why is not None:
            log.info("%s: data.channels=%d, because %s", self.root, channels, why)
        self.normalize = Normalize(**normalization(channels, self._mean, self._std))
        self.input_shape = (channels, self.image_size, self.image_size)

    def sample_names(self, source_index: Tensor) -> list[str]:
        """The files of training images, as in ``files``."""
        return [self.files[i] for i in source_index.tolist()]

    def picture(self, source_index: int, side: int) -> UInt8[Tensor, "c h w"] | None:
        if side <= self.image_size:
            return None
        file = self.root / self.files[source_index]
        return decode_all([file], side, self.background, self.input_shape[0])[0][0]

    def _samples(self, images: ImageList) -> Samples:
        label = images.label if images.clean_label is None else images.clean_label
        return Samples(label, torch.arange(len(label)), partial(self._decode_some, images.files))

    def _decode_some(
        self, files: Sequence[str], places: Int[Tensor, " k"]
    ) -> UInt8[Tensor, "k c h w"]:
        return self._decode([files[i] for i in places.tolist()])[0][:]

    def _decode(self, files: Sequence[str]) -> tuple[Inputs, Counter[str]]:
        """The images, and the number of images for each key of ``NOTES``."""
        paths = [self.root / file for file in files]
        if not self.is_mapped:
            return decode_all(paths, self.image_size, self.background, self.input_shape[0])
        rows = [self._row_of[file] for file in files]
        unreadable = self._cache.unreadable
        failures = {i: unreadable[row] for i, row in enumerate(rows) if row in unreadable}
        if failures:
            raise InputError(describe_unreadable(failures, paths))
        images = MappedImages(self._cache.images, torch.tensor(rows))
        return images, self._cache.count_notes(rows)

    def _inputs(self, train: Samples, test: Samples | None) -> tuple[Inputs, Inputs | None]:
        """Decode all images together, so that one error names all unreadable files."""
        files = [self.files[i] for i in train.source_index.tolist()]
        if test is not None:
            files += [self.test_files[i] for i in test.source_index.tolist()]
        image, notes = self._decode(files)
        if notes:
            said = [f"{notes[key]} {words}" for key, words in NOTES.items() if notes[key]]
            log.warning("%s: read images: %s", self.root, ", ".join(said))
            self.left_out = {**self.left_out, **notes}
        if test is None:
            return image, None
        return rows_of(image, slice(len(train))), rows_of(image, slice(len(train), None))

    def _draw_pool(self, pool: Samples) -> NoiseRecord:
        given = self._given(self._train, pool)
        return super()._draw_pool(pool) if given is None else given

    def _draw_test(self, test: Samples) -> NoiseRecord:
        given = None if self._test is None else self._given(self._test, test)
        return super()._draw_test(test) if given is None else given

    def _given(self, images: ImageList, chosen: Samples) -> NoiseRecord | None:
        """The record of labels from a table; None if the label noise makes the record."""
        if not images.is_final:
            return None
        places, clean = chosen.source_index, images.clean_label
        clean = None if clean is None else clean[places]
        return NoiseRecord.of_file(self.record_kind, images.label[places], clean, self.num_classes)

    def _hold_out(self, pool: Samples, label: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        if self._train.is_held is None or self.fold is not None:
            return super()._hold_out(pool, label)
        held = self._train.is_held[pool.source_index]
        return (~held).nonzero().flatten(), held.nonzero().flatten()

"""Signal-noise data: a sample has a signal patch and a noise patch, as in the theory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labelnoise.checks import COUNT, check_number, check_word, whole
from labelnoise.config.ranges import check_options_of
from labelnoise.data.batch import Split
from labelnoise.data.loaders import TensorLoader, batches_so_far
from labelnoise.data.memory import check_fits
from labelnoise.data.module import NoisyLabelDataModule, warn_of_missing_classes
from labelnoise.errors import InputError
from labelnoise.noise import CleanSplit, LabelNoise, NoiseRecord
from labelnoise.processes.distributed import rank, world_size
from labelnoise.seeding import stream
from labelnoise.theory import SignalNoiseDecomposition, signal_norm_for

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class SignalNoiseSample:
    """A draw of n samples; ``clean_label`` is in {0, 1}."""

    input: Float[Tensor, "n 2 d"]
    clean_label: Int[Tensor, " n"]
    noise_patches: Float[Tensor, "n d"]


def draw_signal_noise(
    n: int,
    signal: Float[Tensor, " d"],
    *,
    xi_std: float,
    orthogonal: bool = False,
    permute_patches: bool = False,
    balanced: bool = False,
    generator: torch.Generator,
) -> SignalNoiseSample:
    """Draw n samples x = (y mu, xi) with y in {-1, +1} and xi ~ N(0, sigma_xi^2 I).

    Args:
        n: number of samples.
        signal: mu, (d,); its dtype is the dtype of the samples.
        xi_std: sigma_xi, the standard deviation of each entry of the noise patch.
        orthogonal: project xi orthogonally to mu, as in arXiv 2510.17526; False is as in
            arXiv 2505.18909.
        permute_patches: put the two patches in random order. The two-layer CNN shares its filters
            over patches, so its output does not change.
        balanced: exactly n/2 samples of each class (n odd: one more of class 1), in random order;
            otherwise each class has probability 1/2.
        generator: the generator of all draws.
    """
    dim = len(signal)
    if balanced:
        clean_label = (torch.arange(n) < (n + 1) // 2).long()
        clean_label = clean_label[torch.randperm(n, generator=generator)]
    else:
        clean_label = torch.randint(0, 2, (n,), generator=generator)
    # In double precision, so that float32 and float64 data of one seed are the same data.
    noise_patches = xi_std * torch.randn(n, dim, generator=generator, dtype=torch.float64)
    if orthogonal:
        direction = signal.double() / signal.double().norm()
        noise_patches -= torch.outer(noise_patches @ direction, direction)
    noise_patches = noise_patches.to(signal.dtype)
    signal_patches = torch.outer(2.0 * clean_label.to(signal.dtype) - 1.0, signal)
    input = torch.stack((signal_patches, noise_patches), dim=1)
    if permute_patches:
        swap = torch.rand(n, generator=generator) < 0.5
        input[swap] = input[swap].flip(1)
    return SignalNoiseSample(input, clean_label, noise_patches)


class SignalNoiseDataModule(NoisyLabelDataModule):
    """Signal-noise data with label noise, as whole tensors.

    x has a signal patch y mu and a noise patch xi ~ N(0, sigma_xi^2 I_d). ``noise`` flips the
    labels. mu has the direction of the first axis; the direction does not matter, because xi and
    w(0) are isotropic. Training, validation and test samples are separate draws. The test set has
    clean and noisy labels.
    Source: arXiv 2505.18909, section on the problem set-up.

    Args:
        noise: the label noise, with a separate stream for each split.
        n: number of training samples.
        d: dimension of a patch.
        n_snr_squared: n SNR^2 with SNR = |mu| / (sigma_xi sqrt(d)); determines |mu|.
        signal_norm: |mu|; give this or ``n_snr_squared``, not both.
        xi_std: sigma_xi.
        orthogonal, permute_patches, balanced: see :func:`draw_signal_noise`.
        n_val: number of noisy validation samples; 0 for none.
        n_test: number of test samples.
        batch_size: batch size of each process; None for full-batch gradient descent.
        steps: number of training steps in a Lightning epoch. A full-batch pass is one step, and one
            long epoch is cheaper than thousands of short ones.
        dtype: "float32" or "float64".
        seed, shuffle_seed: seed of the samples, and of the mini-batch order.

    Attributes (after ``setup``):
        signal: mu, (d,).
        noise_patches: xi of the training samples, (n, d).
        train, val, test: the splits; ``val`` is None without validation samples.
        noise_record: the record of the training labels.
    """

    has_epochs = False
    test: Split
    num_classes = 2
    class_names = ("-1", "+1")

    def __init__(
        self,
        noise: LabelNoise,
        *,
        n: int = 200,
        d: int = 800,
        n_snr_squared: float | None = 8.0,
        signal_norm: float | None = None,
        xi_std: float = 1.0,
        orthogonal: bool = False,
        permute_patches: bool = False,
        balanced: bool = False,
        n_val: int = 200,
        n_test: int = 4000,
        batch_size: int | None = None,
        steps: int = 1,
        dtype: str = "float32",
        seed: int = 0,
        shuffle_seed: int | None = None,
    ) -> None:
        super().__init__()
        check_options_of(
            SignalNoiseDataModule, "data.",
            n=n, d=d, n_val=n_val, n_test=n_test, xi_std=xi_std,
            n_snr_squared=n_snr_squared, signal_norm=signal_norm,
        )  # fmt: skip
        check_number("max_steps", steps, COUNT)
        check_word("data.dtype", dtype, DTYPES)
        if (n_snr_squared is None) == (signal_norm is None):
            raise InputError(
                "give one of data.n_snr_squared and data.signal_norm and set the other to null, "
                f"got n_snr_squared={n_snr_squared} and signal_norm={signal_norm}"
            )
        if batch_size is not None:
            check_number("batch_size", batch_size, whole(1, n))
        self.noise = noise
        self.n, self.d, self.n_val, self.n_test = n, d, n_val, n_test
        self.xi_std = xi_std
        if signal_norm is not None:
            self.signal_norm = signal_norm
        if n_snr_squared is not None:
            self.signal_norm = signal_norm_for(n_snr_squared, n, xi_std, d)
        self.orthogonal, self.permute_patches = orthogonal, permute_patches
        self.balanced = balanced
        self.batch_size, self.steps = batch_size, steps
        self.dtype = DTYPES[dtype]
        self.seed = seed
        self.shuffle_seed = seed if shuffle_seed is None else shuffle_seed
        self.input_shape = (2, d)
        self.signal: Tensor | None = None

    def sources(self) -> dict[str, str | None]:
        return self.noise.sources()

    def setup(self, stage: str | None = None) -> None:
        """Draw the three splits and flip their labels; later calls do nothing."""
        if self.signal is not None:
            return
        check_fits(
            world_size() * self._bytes(),
            f"{self.n} training, {self.n_val} validation and {self.n_test} test samples of "
            f"{self.d} dimensions",
            "write a smaller data.n, data.n_val, data.n_test or data.d",
        )
        self.signal = torch.zeros(self.d, dtype=self.dtype)
        self.signal[0] = self.signal_norm
        self.train, self.noise_record, self.noise_patches = self._draw(self.n, "train")
        self.val: Split | None = self._draw(self.n_val, "val")[0] if self.n_val else None
        self.test = self._draw(self.n_test, "test")[0]
        warn_of_missing_classes(self)

    @cached_property
    def decomposition(self) -> SignalNoiseDecomposition:
        """The solver for gamma and rho on the training set; computed once.

        Raises:
            InputError: d < n + 1, so that the coefficients are not unique.
        """
        assert self.signal is not None, "setup() comes first"
        return SignalNoiseDecomposition(self.signal, self.noise_patches)

    def _bytes(self) -> int:
        """Bytes of the splits, and of two copies of the largest in double precision for drawing."""
        patches = 3 * self.n + 2 * (self.n_val + self.n_test)  # xi of training samples is kept too
        drawn = 2 * max(self.n, self.n_val, self.n_test)
        return self.d * (patches * self.dtype.itemsize + drawn * 8)

    def _draw(self, n: int, part: str) -> tuple[Split, NoiseRecord, Tensor]:
        assert self.signal is not None
        sample = draw_signal_noise(
            n,
            self.signal,
            xi_std=self.xi_std,
            orthogonal=self.orthogonal,
            permute_patches=self.permute_patches,
            balanced=self.balanced,
            generator=stream(self.seed, "data", part),
        )
        record = self.noise.draw(
            CleanSplit(
                sample.clean_label,
                self.num_classes,
                part=part,
                features=sample.input.flatten(1).float(),
                class_names=self.class_names,
            )
        )
        split = Split(sample.input, record.label, sample.clean_label, torch.arange(n))
        return split, record, sample.noise_patches

    def train_dataloader(self) -> TensorLoader:
        global_size = (self.batch_size or self.n) * world_size()
        batches_per_pass = math.ceil(self.n / global_size)
        batches = self.steps * (self.trainer.accumulate_grad_batches if self.trainer else 1)
        return TensorLoader(
            self.train,
            self.batch_size,
            shuffle_seed=self.shuffle_seed,
            passes=math.ceil(batches / batches_per_pass),
            start=batches_so_far(self.trainer),
            rank=rank(),
            world_size=world_size(),
        )

    def val_dataloader(self) -> TensorLoader | list[TensorLoader]:
        return [] if self.val is None else TensorLoader(self.val, None)

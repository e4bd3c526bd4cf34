"""The table of the ranges of numeric options."""

from __future__ import annotations

import math
from typing import NamedTuple

# A larger count is a typing error; it would overflow or never end.
MOST = 10**12
# Seeds are kept as 64-bit integers.
LARGEST_SEED = 2**63 - 1
# Larger bounds only catch typing errors; a message names them only if they are exceeded.
_WORTH_SAYING = 10**6


class Range(NamedTuple):
    """Numbers from ``low`` to ``high``, without infinity and NaN.

    Attributes:
        above, below: excludes ``low`` itself, excludes ``high`` itself.
        whole: only whole numbers.

    Example:
        >>> 1 in Range(0, 1), 1 in Range(0, 1, below=True), float("nan") in Range()
        (True, False, False)
        >>> [Range(0, 1, below=True).describe(5), Range(1, whole=True).describe(0)]
        ['a number from 0 to below 1', 'a whole number of at least 1']
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    whole: bool = False

    def __contains__(self, value: object) -> bool:
        assert isinstance(value, int | float)
        if isinstance(value, float) and (self.whole or not math.isfinite(value)):
            return False
        return (self.low < value if self.above else self.low <= value) and (
            value < self.high if self.below else value <= self.high
        )

    def describe(self, value: float) -> str:
        """The allowed numbers in words, for the message that refuses ``value``."""
        number = "a whole number" if self.whole else "a number"
        low, high = f"{self.low:,}", f"{self.high:,}"
        has_high = self.high <= _WORTH_SAYING or (self.high < math.inf and value > self.high)
        if self.low == -math.inf:
            return f"{number} {f'below {high}' if has_high else 'that is finite'}"
        begin = f"{number} {'above' if self.above else 'from' if has_high else 'of at least'} {low}"
        if has_high:
            return f"{begin} to {'below ' * self.below}{high}"
        return f"{begin} and finite" if value == math.inf else begin


def _whole(low: int, high: int = MOST) -> Range:
    return Range(low, high, whole=True)


COUNT = _whole(1)
SEED = _whole(0, LARGEST_SEED)
FINITE = Range()
POSITIVE = Range(0, above=True)
NOT_NEGATIVE = Range(0)
SHARE = Range(0, 1)
BELOW_ONE = Range(0, 1, below=True)
NEGATIVE = Range(high=0, below=True)

# Top-level keys of conf/config.yaml. -1 means no limit; config.check refuses 0.
TOP = {
    "noise_rate": BELOW_ONE,
    "seed": SEED,
    "max_steps": _whole(-1),
    "max_epochs": _whole(-1),
    "batch_size": COUNT,
    "log_every_n_steps": COUNT,
    "eval_every_n_steps": COUNT,
    "checkpoint_every_n_steps": COUNT,
    "keep_checkpoint_every_n_epochs": COUNT,
    "threads": _whole(1, 1024),  # with many more, the system ends the process
}

# Options of the parts of labelnoise, by NAME, or by CLASS.NAME if a class differs.
RANGES = {
    "agreement_weight": SHARE,
    "alpha": NOT_NEGATIVE,
    "Mixup.alpha": POSITIVE,
    "batch_size": COUNT,
    "beta": NOT_NEGATIVE,
    "ELR.beta": BELOW_ONE,
    "TCR.beta": SHARE,
    "bootstrapping_hard.beta": SHARE,
    "bootstrapping_soft.beta": SHARE,
    "check_every_n_steps": COUNT,
    "d": COUNT,
    "depth": _whole(1, 1000),
    "dropout": BELOW_ONE,
    "epsilon": BELOW_ONE,
    "eval_batch_size": COUNT,
    "every_n_steps": COUNT,
    "filters": _whole(1, 10**6),
    "forget_rate": BELOW_ONE,
    "image_size": _whole(1, 4096),
    "iterations": _whole(1, 10**4),
    "keep_share": Range(0, 1, above=True),
    "kernel_size": COUNT,
    "log_zero": NEGATIVE,
    "max_wrong_share": BELOW_ONE,
    "mean": FINITE,
    "momentum": BELOW_ONE,
    "n": _whole(2),  # two classes
    "n_snr_squared": POSITIVE,
    "n_test": COUNT,
    "n_val": _whole(0),
    "noise_rate": BELOW_ONE,
    "patience": COUNT,
    "per_class": COUNT,
    "per_sample_size": _whole(2),
    "percentile": Range(0, 100),
    "SampleSelection.percentile": Range(0, 100, above=True),
    "probe_size": COUNT,
    "GradientMonitor.probe_size": _whole(2),
    "q": Range(0, 1, above=True),
    "q_end": POSITIVE,
    "q_start": Range(0, 1, above=True),
    "r": SHARE,
    "rate": BELOW_ONE,
    "rates": BELOW_ONE,
    "seed": SEED,
    "sharpening": Range(1),
    "shuffle_seed": SEED,
    "sigma_0": NOT_NEGATIVE,
    "signal_norm": POSITIVE,
    "split_seed": SEED,
    "start_step": COUNT,
    "std": POSITIVE,
    "steps": COUNT,
    "strength": NOT_NEGATIVE,
    "stride": COUNT,
    "tau_minus": BELOW_ONE,
    "tau_plus": BELOW_ONE,
    "temperature": POSITIVE,
    "test_every_n_steps": COUNT,
    "test_per_class": COUNT,
    "threshold": COUNT,
    "val_fraction": BELOW_ONE,
    "vectors": _whole(2, 10**4),
    "warmup_epochs": COUNT,
    "width": _whole(1, 4096),
    "window": COUNT,
    "xi_std": POSITIVE,
}

# Options of other libraries, by path: the type, and the range.
FOREIGN: dict[str, tuple[object, Range]] = {
    "optimizer.lr": (float, POSITIVE),
    "optimizer.momentum": (float, NOT_NEGATIVE),
    "optimizer.weight_decay": (float, NOT_NEGATIVE),
    "trainer.accumulate_grad_batches": (int, COUNT),
    "trainer.gradient_clip_val": (float | None, POSITIVE),
    "trainer.limit_train_batches": (float | None, POSITIVE),
    "trainer.log_every_n_steps": (int | None, _whole(0)),
    "trainer.num_sanity_val_steps": (int | None, _whole(-1)),
}
# Arguments of Lightning's Trainer that a run sets itself, or that would silently change its
# results; each with the option to use instead.
TAKEN = {
    "trainer.callbacks": "monitor= and technique=",
    "trainer.check_val_every_n_epoch": "eval_every_n_steps=",
    "trainer.default_root_dir": "output_dir=",
    "trainer.enable_checkpointing": "checkpoint_every_n_steps=",
    "trainer.fast_dev_run": "trainer=smoke",
    "trainer.limit_test_batches": "a smaller test set, as data.test_per_class=",
    "trainer.limit_val_batches": "a smaller validation set, as data.val_fraction= or data.n_val=",
    "trainer.logger": "logger=",
    "trainer.max_time": "max_steps= or max_epochs=, which end a run reproducibly",
    "trainer.overfit_batches": "a smaller training set, as data.per_class=",
    "trainer.plugins": "trainer.precision= or trainer.strategy=",
    "trainer.val_check_interval": "eval_every_n_steps=",
}
# Allowed words of options of other libraries, which would refuse other words late.
WORDS = {"trainer.accelerator": ("auto", "cpu", "gpu", "cuda", "mps")}


def range_of(target: str, option: str) -> Range | None:
    """The range of an option of a ``target`` in labelnoise; None if it has none.

    Example:
        >>> range_of("labelnoise.techniques.ELR", "beta").high
        1
    """
    if not target.startswith("labelnoise."):
        return None
    return RANGES.get(f"{target.rpartition('.')[2]}.{option}", RANGES.get(option))

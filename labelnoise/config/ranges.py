"""The table of the ranges of numeric options."""

from __future__ import annotations

from typing import Any

from labelnoise.checks import (
    BELOW_ONE,
    COUNT,
    FINITE,
    NEGATIVE,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    SHARE,
    Range,
    check_number,
    whole,
)

# Top-level keys of conf/config.yaml. -1 means no limit; config.check refuses 0.
TOP = {
    "noise_rate": BELOW_ONE,
    "seed": SEED,
    "max_steps": whole(-1),
    "max_epochs": whole(-1),
    "batch_size": COUNT,
    "log_every_n_steps": COUNT,
    "eval_every_n_steps": COUNT,
    "checkpoint_every_n_steps": COUNT,
    "keep_checkpoint_every_n_epochs": COUNT,
    "threads": whole(1, 1024),  # with many more, the system ends the process
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
    "channels": COUNT,
    "check_every_n_steps": COUNT,
    "d": COUNT,
    "depth": whole(1, 1000),
    "dropout": BELOW_ONE,
    "epsilon": BELOW_ONE,
    "eval_batch_size": COUNT,
    "every_n_steps": COUNT,
    "filters": whole(1, 10**6),
    "fold": whole(0),
    "forget_rate": BELOW_ONE,
    "image_size": whole(1, 4096),
    "iterations": whole(1, 10**4),
    "keep_share": Range(0, 1, above=True),
    "kernel_size": COUNT,
    "log_zero": NEGATIVE,
    "max_wrong_share": BELOW_ONE,
    "mean": FINITE,
    "momentum": BELOW_ONE,
    "n": whole(2),  # two classes
    "n_snr_squared": POSITIVE,
    "n_test": COUNT,
    "n_val": whole(0),
    "noise_rate": BELOW_ONE,
    "patience": COUNT,
    "per_class": COUNT,
    "per_sample_size": whole(2),
    "percentile": Range(0, 100),
    "SampleSelection.percentile": Range(0, 100, above=True),
    "probe_size": COUNT,
    "GradientMonitor.probe_size": whole(2),
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
    "vectors": whole(2, 10**4),
    "warmup_epochs": COUNT,
    "width": whole(1, 4096),
    "widths": whole(1, 10**5),
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
    "trainer.log_every_n_steps": (int | None, whole(0)),
    "trainer.num_sanity_val_steps": (int | None, whole(-1)),
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
    return _range(target.rpartition(".")[2], option) if target.startswith("labelnoise.") else None


def _range(part: str, option: str) -> Range | None:
    return RANGES.get(f"{part}.{option}", RANGES.get(option))


def check_options_of(part: Any, prefix: str = "", **values: float | None) -> None:
    """Refuse numbers outside the ranges of ``part``, which may also be built without a config.

    Args:
        part: a class or function of labelnoise, or a subclass of the user's own.
        prefix: of the options' names in the message, as ``technique.elr.``.
        values: by option; None passes.

    Raises:
        InputError: names the option, the value and the range.

    Example:
        >>> from labelnoise.losses import gce
        >>> check_options_of(gce, q=1.5)
        Traceback (most recent call last):
        ...
        labelnoise.errors.InputError: q must be a number above 0 and at most 1, got 1.5
    """
    for name, value in values.items():
        allowed = _range(part.__name__, name)
        own = not part.__module__.startswith("labelnoise.")
        assert own or allowed is not None, f"{name} has no range: give it a row"
        if value is not None and allowed is not None:
            check_number(f"{prefix}{name}", value, allowed)

"""Train on the samples whose loss says that their label is right."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from labelnoise.classifier import NoisyLabelClassifier
from labelnoise.coefficients import has_coefficients, require_coefficients, signal_and_noise
from labelnoise.data.module import data_of, steps_per_epoch
from labelnoise.distributed import from_rank_zero
from labelnoise.dynamics import auc
from labelnoise.errors import InputError
from labelnoise.seeding import derive_seed
from labelnoise.techniques.technique import Technique
from labelnoise.theory import LeadPeakDetector

log = logging.getLogger(__name__)


def select_log2(loss: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """Keep the samples with loss below log 2, that is with p(given label) above one half.

    With two classes these are the samples predicted as their given label. At the end of Stage I
    the threshold separates clean from noisy exactly (arXiv 2505.18909, sample selection).

    Example:
        >>> select_log2(torch.tensor([0.1, 0.6, 0.7, 3.0])).tolist()
        [True, True, False, False]
    """
    return loss < math.log(2.0)


def select_keep_rate(loss: Float[Tensor, " n"], keep_rate: float) -> Bool[Tensor, " n"]:
    """Keep the round(keep_rate n) samples of smallest loss, where the noise rate is known.

    Source: the small-loss rule of Co-teaching (NeurIPS 2018) with R = 1 - noise rate.

    Example:
        >>> select_keep_rate(torch.tensor([0.3, 0.1, 2.0, 0.2]), 0.75).tolist()
        [True, True, False, True]
    """
    kept = loss.argsort(stable=True)[: round(keep_rate * len(loss))]
    return torch.zeros_like(loss, dtype=torch.bool).index_fill(0, kept, True)


def select_gmm(loss: Float[Tensor, " n"], seed: int) -> Bool[Tensor, " n"]:
    """Keep the samples that a two-component mixture assigns to the component of lower mean.

    Losses are scaled to [0, 1] and fitted with a Gaussian mixture; a sample is kept when its
    posterior of the low component exceeds one half. No noise rate is needed.
    Source: the division step of DivideMix (ICLR 2020).
    """
    from sklearn.mixture import GaussianMixture  # a second to import; only this rule pays it

    span = (loss.max() - loss.min()).clamp_min(torch.finfo(loss.dtype).tiny)
    scaled = ((loss - loss.min()) / span).double().cpu().numpy().reshape(-1, 1)
    mixture = GaussianMixture(2, reg_covar=5e-4, random_state=seed).fit(scaled)
    low = int(np.argmin(mixture.means_.ravel()))
    return torch.from_numpy(mixture.predict_proba(scaled)[:, low] > 0.5).to(loss.device)


def selection_metrics(
    kept: Bool[Tensor, " n"], loss: Float[Tensor, " n"], is_noisy: Bool[Tensor, " n"]
) -> dict[str, float]:
    """How well a selection found the clean samples.

    Returns, each in [0, 1], NaN where it is undefined:
        precision: share of the kept samples that are clean.
        recall: share of the clean samples that are kept.
        f1: their harmonic mean.
        auc: area under the ROC curve of the loss as a detector of noisy samples.

    Example:
        >>> kept = torch.tensor([True, True, True, False])
        >>> metrics = selection_metrics(
        ...     kept, torch.tensor([0.1, 0.2, 0.3, 2.0]), torch.tensor([False, False, True, True])
        ... )
        >>> round(metrics["precision"], 3), metrics["recall"], metrics["auc"]
        (0.667, 1.0, 1.0)
    """
    right = int((kept & ~is_noisy).sum())
    n_kept, n_clean = int(kept.sum()), int((~is_noisy).sum())
    precision = right / n_kept if n_kept else float("nan")
    recall = right / n_clean if n_clean else float("nan")
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if right else 0.0,
        "auc": auc(loss.cpu().numpy(), is_noisy.cpu().numpy()),
    }


class SampleSelection(Technique):
    """Keeps the small-loss samples after a warm-up and gives the others weight 0.

    The warm-up ends at ``start_step`` where that is given. Otherwise on signal-noise data it ends
    with Stage I, read from the coefficients: at the peak of the gap between max gamma and max rho,
    where memorization begins to grow faster than signal learning. That is the latest moment at
    which fitting is still signal: later, noisy samples begin to pass the threshold, and much
    earlier clean ones are not all fitted yet. On other data it ends after ``warmup_epochs``.

    Losses are cross-entropies with the given labels, evaluated over the whole training set at one
    set of weights. With ``early_stop`` beside it, that technique's coefficients count only the
    samples kept, so it stops only if they too are overtaken. A selection that would keep nothing
    is not made and is tried again at the next step due.

    Args:
        rule: "log2", "keep_rate" (needs ``noise_rate``) or "gmm".
        noise_rate: for "keep_rate", which keeps the share 1 - noise_rate.
        start_step: select at this step; None: as described.
        warmup_epochs: length of the warm-up in epochs where there are no coefficients.
        every_n_steps: select again at this interval after the first time; None: select once.
        check_every_n_steps: interval at which the end of Stage I is looked for.
        patience: checks in a row that have to lie below the peak of the gap.
        seed: of the mixture's initialisation.

    Raises:
        InputError: an unknown rule or a number out of range.
    """

    role = "selection"

    def __init__(
        self,
        rule: str = "log2",
        noise_rate: float | None = None,
        start_step: int | None = None,
        warmup_epochs: int = 5,
        every_n_steps: int | None = None,
        check_every_n_steps: int = 10,
        patience: int = 2,
        seed: int = 0,
    ) -> None:
        self.seed = derive_seed(seed, "selection") % 2**32
        rules: dict[str, Callable[[Tensor], Tensor]] = {
            "log2": select_log2,
            "keep_rate": lambda loss: select_keep_rate(loss, 1.0 - (noise_rate or 0.0)),
            "gmm": lambda loss: select_gmm(loss, self.seed),
        }
        if rule not in rules:
            raise InputError(
                f"technique.sample_selection.rule must be one of {', '.join(rules)}, got {rule!r}"
            )
        if rule == "keep_rate" and (noise_rate is None or not 0 <= noise_rate < 1):
            raise InputError(
                "technique.sample_selection.rule=keep_rate needs noise_rate in [0, 1), "
                f"got {noise_rate}"
            )
        for name, value in {
            "start_step": start_step,
            "warmup_epochs": warmup_epochs,
            "every_n_steps": every_n_steps,
            "check_every_n_steps": check_every_n_steps,
            "patience": patience,
        }.items():
            if value is not None and value < 1:
                raise InputError(
                    f"technique.sample_selection.{name} must be at least 1, got {value}"
                )
        self.rule = rule
        self.select = rules[rule]
        self.start_step = start_step
        self.warmup_epochs = warmup_epochs
        self.every_n_steps = every_n_steps
        self.check_every_n_steps = check_every_n_steps
        self.detector = LeadPeakDetector(patience)
        self.selections: list[dict[str, float]] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit" and self.start_step is None and has_coefficients(trainer, pl_module):
            require_coefficients(trainer, pl_module, "technique=sample_selection")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        assert isinstance(pl_module, NoisyLabelClassifier)
        if self.is_new_step(trainer) and self._is_due(trainer, pl_module):
            self._select(trainer, pl_module)

    def _is_due(self, trainer: pl.Trainer, module: NoisyLabelClassifier) -> bool:
        step = trainer.global_step
        if self.selections:
            since = step - int(self.selections[0]["step"])
            return self.every_n_steps is not None and since > 0 and since % self.every_n_steps == 0
        if self.start_step is not None:
            return step >= self.start_step
        if not has_coefficients(trainer, module):
            return step >= self.warmup_epochs * steps_per_epoch(trainer)
        if step % self.check_every_n_steps == 0:
            return self.detector.update(step, *signal_and_noise(trainer, module))
        return False

    def _select(self, trainer: pl.Trainer, module: NoisyLabelClassifier) -> None:
        split = data_of(trainer).train
        loss = F.cross_entropy(module.logits(split), split.label, reduction="none")
        # On the CPU, where the mixture is fitted and selections are measured.
        loss, is_noisy = from_rank_zero(loss).cpu(), split.is_noisy.cpu()
        kept = self.select(loss)
        if not kept.any():
            log.warning("sample_selection: rule %s would keep no sample, not selected", self.rule)
            return
        module.sample_weight = kept.to(module.sample_weight)
        metrics = selection_metrics(kept, loss, is_noisy)
        self.selections.append({"step": trainer.global_step, "kept": int(kept.sum()), **metrics})
        module.record({f"selection/{name}": value for name, value in metrics.items()})
        log.info(
            "sample_selection: kept %d of %d samples at step %d, precision %.3f, recall %.3f",
            int(kept.sum()),
            len(kept),
            trainer.global_step,
            metrics["precision"],
            metrics["recall"],
        )

    def report(self) -> dict[str, Any]:
        first, last = (self.selections[0], self.selections[-1]) if self.selections else (None, None)
        return {"rule": self.rule, "first": first, "last": last}

    def oracle_knowledge(self) -> list[str]:
        return ["noise rate"] if self.rule == "keep_rate" else []

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "detector": self.detector.state_dict(),
            "selections": list(self.selections),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.detector.load_state_dict(state_dict["detector"])
        self.selections = list(state_dict["selections"])

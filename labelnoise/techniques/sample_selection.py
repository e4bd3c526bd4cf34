"""Train on the samples that a rule takes for clean, from the end of Stage I on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from labelnoise.config.ranges import check_options_of
from labelnoise.data.batch import Batch
from labelnoise.data.loaders import ends_pass
from labelnoise.data.module import NoisyLabelDataModule, data_of, steps_per_epoch
from labelnoise.distributed import from_rank_zero
from labelnoise.learner.classifier import NoisyLabelClassifier, classifier_of
from labelnoise.measures.coefficients import (
    has_coefficients,
    require_coefficients,
    signal_and_noise,
)
from labelnoise.seeding import stream
from labelnoise.selection import (
    RULES,
    Evidence,
    Options,
    Records,
    apply_rule,
    class_metrics,
    other_classes,
    reads_noise_rate,
    selection_metrics,
)
from labelnoise.techniques.noise_rate import check_noise_rate, noise_rate_of, told_noise_rate
from labelnoise.techniques.technique import Technique
from labelnoise.theory import LeadPeakDetector

log = logging.getLogger(__name__)

NOISE_RATE = "technique.sample_selection.noise_rate"


class SampleSelection(Technique):
    """Keeps the samples that a rule takes for clean after a warm-up, the others at weight 0.

    The warm-up ends at ``start_step`` where that is given. Otherwise on signal-noise data it ends
    with Stage I, read from the coefficients: at the peak of the gap between max gamma and max rho,
    where memorization begins to grow faster than signal learning. That is the latest moment at
    which fitting is still signal: later, noisy samples begin to pass the threshold, and much
    earlier clean ones are not all fitted yet. On other data it ends after ``warmup_epochs``.

    ========================  ==================================================================
    log2, keep_rate, gmm      small losses, :mod:`labelnoise.selection.loss`
    dynamic_threshold         small recorded losses, as many as early against late ones tell
    aum                       large mean margins, against those of labels drawn at random
    wrong_events              seldom predicted as another class
    confident_learning        not contradicted by the confident joint
    random, oracle            whatever comes; just the clean samples, which takes true labels
    ========================  ==================================================================

    Where the true labels are not known, a selection says what it kept and not how well it chose.
    Losses and probabilities are those of the whole training set at one set of weights. Rules that
    look back record every pass over the data from the training pass itself: they wait until one
    has been recorded, "dynamic_threshold" two. With ``early_stop`` beside it, that technique's
    coefficients count only the samples kept, so it stops only if they too are overtaken. A
    selection that would keep nothing is not made and is tried again at the next step due. Samples
    whose loss is not finite are never kept.

    Args:
        rule: one of the above.
        noise_rate: for "keep_rate" and "random", which keep the share 1 - noise_rate: a number in
            [0, 1); None for the realised rate of the noise that the run made itself; "estimate" for
            that of the confident joint at the time of the selection
            (:func:`labelnoise.selection.estimate_noise_rate`).
        keep_share: in (0, 1], for "random" in place of 1 - noise_rate.
        max_wrong_share: in [0, 1), for "wrong_events": the share of the recorded epochs in which
            a sample kept may have been predicted as another class.
        percentile: in (0, 100], for "aum": of the margins of labels drawn at random.
        prune: for "confident_learning": "confident_joint", "class" or "noise_rate".
        start_step: select at this step; None: as described.
        warmup_epochs: length of the warm-up in epochs where there are no coefficients.
        every_n_steps: select again at this interval after the first time; None: select once.
        check_every_n_steps: interval at which the end of Stage I is looked for.
        patience: checks in a row that have to lie below the peak of the gap.
        seed: of what rules draw.

    Raises:
        InputError: an unknown rule or a number out of range; when training starts, a rule that
            needs the noise rate and is not given one where the run did not make the noise.
    """

    role = "selection"
    state = ("detector", "selections", "warned", "warned_of_loss")

    def __init__(
        self,
        rule: str = "log2",
        noise_rate: float | str | None = None,
        keep_share: float | None = None,
        max_wrong_share: float = 0.5,
        percentile: float = 99.0,
        prune: str = "confident_joint",
        start_step: int | None = None,
        warmup_epochs: int = 5,
        every_n_steps: int | None = None,
        check_every_n_steps: int = 10,
        patience: int = 2,
        seed: int = 0,
    ) -> None:
        check_noise_rate(NOISE_RATE, noise_rate)
        self.noise_rate = noise_rate
        self.options = Options(None, keep_share, max_wrong_share, percentile, prune, seed)
        self.options.check(rule)
        check_options_of(
            SampleSelection, "technique.sample_selection.",
            keep_share=keep_share, max_wrong_share=max_wrong_share, percentile=percentile,
            start_step=start_step, warmup_epochs=warmup_epochs, every_n_steps=every_n_steps,
            check_every_n_steps=check_every_n_steps, patience=patience,
        )  # fmt: skip
        self.rule = rule
        self.start_step = start_step
        self.warmup_epochs = warmup_epochs
        self.every_n_steps = every_n_steps
        self.check_every_n_steps = check_every_n_steps
        self.detector = LeadPeakDetector(patience)
        self.selections: list[dict[str, Any]] = []
        self.records: Records | None = None
        self._resumed_records: dict[str, Any] | None = None
        self.warned = False
        self.warned_of_loss = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if reads_noise_rate(self.rule, self.options):
            rate = noise_rate_of(NOISE_RATE, self.noise_rate, data_of(trainer))
            self.options = replace(self.options, noise_rate=rate)
        if self.start_step is None and has_coefficients(trainer, pl_module):
            require_coefficients(trainer, pl_module, "technique=sample_selection")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        rule = RULES[self.rule]
        if not rule.epochs or self._is_over():
            return
        data = data_of(trainer)
        # Where batches are, also when the split itself has no room there.
        label, other = data.train.label.to(pl_module.device), None
        if rule.other_labels:
            draws = stream(self.options.seed, "selection", "other classes")
            other = other_classes(label, data.num_classes, draws).to(label.device)
        self.records = Records(label, other, rule.keep_losses)
        if self._resumed_records is not None:
            self.records.load_state_dict(self._resumed_records)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        module = classifier_of(trainer)
        if self.records is not None and isinstance(outputs, Mapping):
            self.records.add(batch.index, outputs["logits"])
            if ends_pass(trainer):
                self.records.end_epoch()
        if self.is_new_step(trainer) and self._is_due(trainer, module):
            self._select(trainer, module)

    def _is_over(self) -> bool:
        """Whether the one selection was made: what comes then need not be recorded."""
        return bool(self.selections) and self.every_n_steps is None

    def _is_due(self, trainer: pl.Trainer, module: NoisyLabelClassifier) -> bool:
        step = trainer.global_step
        if self.records is not None and self.records.epochs < RULES[self.rule].epochs:
            return False
        if self._is_over():
            return False
        if self.selections:
            assert self.every_n_steps is not None
            since = step - int(self.selections[0]["step"])
            return since > 0 and since % self.every_n_steps == 0
        if self.start_step is not None:
            return step >= self.start_step
        if not has_coefficients(trainer, module):
            return step >= self.warmup_epochs * steps_per_epoch(trainer)
        if step % self.check_every_n_steps == 0:
            return self.detector.update(step, *signal_and_noise(trainer, module))
        return False

    def _select(self, trainer: pl.Trainer, module: NoisyLabelClassifier) -> None:
        data = data_of(trainer)
        # On the CPU, where the mixture is fitted and selections are measured.
        logits = from_rank_zero(module.logits(data.train)).cpu()
        label = data.train.label.cpu()
        is_noisy = data.train.is_noisy.cpu() if data.train.truth_known else None
        evidence = Evidence(logits, label, is_noisy, self.records, trainer.global_step)
        kept, score, noise_rate = apply_rule(self.rule, evidence, self.options)
        self._warn_of_losses(evidence)
        if not kept.any():
            log.warning("sample_selection: rule %s would keep no sample, not selected", self.rule)
            return
        module.sample_weight = kept.to(module.sample_weight)
        n_kept = int(kept.sum())
        metrics = {
            **selection_metrics(kept, evidence.loss if score is None else score, is_noisy),
            "noise_rate": None if is_noisy is None else is_noisy.double().mean().item(),
            "noise_rate_estimate": 1 - n_kept / len(kept) if noise_rate is None else noise_rate,
        }
        per_class = class_metrics(kept, label, is_noisy, data.num_classes)
        self.selections.append(
            {"step": trainer.global_step, "kept": n_kept, **metrics, "per_class": per_class}
        )
        known = {k: v for k, v in {"kept": n_kept, **metrics}.items() if v is not None}
        module.record({f"selection/{k}": float(v) for k, v in known.items()})
        judged = "".join(f", {k} {known[k]:.3f}" for k in ("precision", "recall") if k in known)
        log.info(
            "sample_selection: %s kept %d of %d samples at step %d%s",
            self.rule, n_kept, len(kept), trainer.global_step, judged,
        )  # fmt: skip
        if self._is_over():
            self.records = None
        self._warn_of_classes(label[kept], data)

    def _warn_of_classes(self, kept_label: Tensor, data: NoisyLabelDataModule) -> None:
        """Name once the classes without a kept sample."""
        counts = torch.bincount(kept_label, minlength=data.num_classes)
        empty = [str(name) for name, k in zip(data.class_names, counts, strict=True) if not k]
        if empty and not self.warned:
            self.warned = True
            log.warning(
                "sample_selection: rule %s keeps no sample labelled %s: the network will forget "
                "such classes",
                self.rule,
                ", ".join(empty),
            )

    def _warn_of_losses(self, evidence: Evidence) -> None:
        """Say once how many samples are left out because their loss is not finite."""
        unknown = int((~evidence.is_finite).sum())
        if unknown and not self.warned_of_loss:
            self.warned_of_loss = True
            log.warning(
                "sample_selection: the loss of %d of %d samples is not finite at step %d, they are "
                "not kept: lower optimizer.lr",
                unknown,
                len(evidence.label),
                evidence.step,
            )

    def report(self) -> dict[str, Any]:
        first, last = (self.selections[0], self.selections[-1]) if self.selections else (None, None)
        return {"rule": self.rule, "first": first, "last": last}

    def oracle_knowledge(self) -> list[str]:
        if self.rule == "oracle":
            return ["true labels"]
        told = reads_noise_rate(self.rule, self.options)
        return told_noise_rate(self.noise_rate) if told else []

    # The records are made when training starts, after the state was restored.

    def state_dict(self) -> dict[str, Any]:
        records = None if self.records is None else self.records.state_dict()
        return {**super().state_dict(), "records": records}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._resumed_records = state_dict["records"]

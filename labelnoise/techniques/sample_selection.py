"""Train only on the samples that a rule judges clean, from the end of Stage I on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from labelnoise.checks import check_word
from labelnoise.config.ranges import check_options_of
from labelnoise.data.batch import Batch
from labelnoise.data.loaders import ends_pass
from labelnoise.data.module import NoisyLabelDataModule, data_of, steps_per_epoch
from labelnoise.learner.classifier import NoisyLabelClassifier, classifier_of
from labelnoise.measures.coefficients import (
    has_coefficients,
    require_coefficients,
    signal_and_noise,
)
from labelnoise.processes.distributed import from_rank_zero
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
from labelnoise.selection.confident_learning import PRUNE
from labelnoise.techniques.noise_rate import check_noise_rate, noise_rate_knowledge, noise_rate_of
from labelnoise.techniques.technique import Technique
from labelnoise.theory import LeadPeakDetector

log = logging.getLogger(__name__)

NOISE_RATE = "technique.sample_selection.noise_rate"


class SampleSelection(Technique):
    """After a warm-up, keeps the samples that a rule judges clean; the others get weight 0.

    The warm-up ends at ``start_step`` if it is given. Without ``start_step``, on signal-noise data
    the warm-up ends with Stage I, at the peak of max gamma - max rho. From this step on, max rho
    grows faster than max gamma. Much earlier, some clean samples are not fitted yet. Later, noisy
    samples have a loss below log 2. On other data the warm-up ends after ``warmup_epochs``.

    ========================  ==================================================================
    log2, keep_rate, gmm      keep samples of small loss, :mod:`labelnoise.selection.loss`
    dynamic_threshold         keeps samples of small recorded loss; their number follows from the
                              early and the late losses
    aum                       keeps samples with a larger mean margin than labels drawn at random
    wrong_events              keeps samples that were rarely predicted as another class
    confident_learning        drops samples that the confident joint contradicts
    random                    keeps a random subset, as a baseline
    oracle                    keeps exactly the clean samples, by the true labels, as a baseline
    ========================  ==================================================================

    If the true labels are unknown, precision and recall of the selection are not reported. Losses
    and probabilities are measured on the whole training set at the current weights. Rules that use
    earlier epochs read records of every training pass. They need one recorded pass before the
    selection, and "dynamic_threshold" needs two. If ``early_stop`` is combined with this technique,
    its max rho is over the kept samples only. A selection that would keep no sample is skipped, and
    the technique tries again at the next due step. Samples whose loss is not finite are never kept.

    Args:
        rule: a rule of the table.
        noise_rate: for "keep_rate" and "random", which keep the share 1 - noise_rate. A number in
            [0, 1); None: the realised rate of the label noise that the run drew itself; "estimate":
            the estimate from the confident joint at the selection
            (:func:`labelnoise.selection.estimate_noise_rate`).
        keep_share: in (0, 1], for "random": the share to keep; None: 1 - noise_rate.
        max_wrong_share: in [0, 1), for "wrong_events": the largest share of recorded epochs in
            which a kept sample was predicted as another class.
        percentile: in (0, 100], for "aum": the percentile of the mean margins of labels drawn at
            random that is the threshold.
        prune: for "confident_learning": "confident_joint", "class" or "noise_rate".
        start_step: step of the first selection; None: the end of the warm-up as described above.
        warmup_epochs: length of the warm-up in epochs, for data without gamma and rho.
        every_n_steps: interval between selections after the first one; None: select once.
        check_every_n_steps: interval of the checks for the end of Stage I.
        patience: Stage I ends after this number of checks in a row with max gamma - max rho below
            its peak.
        seed: seed of the random draws of the rules.

    Raises:
        InputError: an unknown rule or a number out of range. When training starts: a rule needs a
            noise rate, but the option has none and the run did not draw the label noise itself.
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
        prefix = "technique.sample_selection."
        check_noise_rate(NOISE_RATE, noise_rate)
        check_word(f"{prefix}rule", rule, RULES)
        check_word(f"{prefix}prune", prune, PRUNE)
        self.noise_rate = noise_rate
        self.options = Options(None, keep_share, max_wrong_share, percentile, prune, seed)
        check_options_of(
            SampleSelection, prefix,
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
        # On the device of the batches; the split itself may stay on the CPU.
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
        """Whether the only selection was made, so that no more passes need to be recorded."""
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
        # On the CPU, because the mixture is fitted there.
        logits = from_rank_zero(module.logits(data.train)).cpu()
        label = data.train.label.cpu()
        is_noisy = data.train.is_noisy.cpu() if data.train.truth_known else None
        evidence = Evidence(logits, label, is_noisy, self.records, trainer.global_step)
        kept, score, noise_rate = apply_rule(self.rule, evidence, self.options)
        self._warn_of_losses(evidence)
        if not kept.any():
            log.warning("sample_selection: skipped, because %s would keep no sample", self.rule)
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
        """Warn once of the given classes without a kept sample."""
        counts = torch.bincount(kept_label, minlength=data.num_classes)
        empty = [str(name) for name, k in zip(data.class_names, counts, strict=True) if not k]
        if empty and not self.warned:
            self.warned = True
            log.warning(
                "sample_selection: rule %s keeps no sample labelled %s: the network will forget "
                "these classes",
                self.rule,
                ", ".join(empty),
            )

    def _warn_of_losses(self, evidence: Evidence) -> None:
        """Warn once how many samples are left out because their loss is not finite."""
        unknown = int((~evidence.is_finite).sum())
        if unknown and not self.warned_of_loss:
            self.warned_of_loss = True
            log.warning(
                "sample_selection: the loss of %d of %d samples is not finite at step %d, so they "
                "are not kept: lower optimizer.lr",
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
        reads_rate = reads_noise_rate(self.rule, self.options)
        return noise_rate_knowledge(self.noise_rate) if reads_rate else []

    # The records are created when training starts, after the state was restored.

    def state_dict(self) -> dict[str, Any]:
        records = None if self.records is None else self.records.state_dict()
        return {**super().state_dict(), "records": records}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._resumed_records = state_dict["records"]

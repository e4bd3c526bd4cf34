"""A search over options with Optuna: the trials are the jobs of a sweep.

Hydra's own Optuna sweeper (hydra-optuna-sweeper 1.3) needs Optuna below 3, and it draws new trials
if a killed search starts again. Our search stores the study in a journal file in the folder of the
sweep. The sampler draws each trial from a random stream of the trial's number, so a killed search
continues with the same trials.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    RangeSweep,
    Transformer,
)
from omegaconf import DictConfig, OmegaConf

from labelnoise.checks import COUNT, SEED, Range
from labelnoise.config.composition import NOT_PART_OF_THE_RUN
from labelnoise.config.options import check_value
from labelnoise.config.score import check_search_score
from labelnoise.errors import InputError, is_of_the_disk
from labelnoise.processes.worker import Report
from labelnoise.run_directory import RunDirectory
from labelnoise.seeding import derive_seed
from labelnoise.sweeps.study import DIED, PRUNED, Pruner, check_installed, held, open_study
from labelnoise.sweeps.unfinished import forget

if TYPE_CHECKING:  # an extra
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

Sampler = Literal["tpe", "random"]
# The types and ranges of the options in conf/hydra/sweeper/optuna.yaml.
_OPTIONS: dict[str, tuple[Any, Range | None]] = {
    "n_trials": (int, COUNT),
    "n_jobs": (int, COUNT),
    "sampler": (Sampler, None),
    "pruner": (Pruner, None),
    "seed": (int, SEED),
}


def check_params(params: Any) -> None:
    """Refuse options of the space that are not a mapping.

    Raises:
        InputError: names the value.
    """
    if not isinstance(params, Mapping):
        raise InputError(
            f"hydra.sweeper.params must be as {{optimizer.lr: interval(0.01,1)}}, got {params}"
        )


def search(
    sweeper: Any,
    words: Sequence[str],
    *,
    n_trials: int,
    n_jobs: int,
    sampler: Sampler,
    pruner: Pruner,
    seed: int,
) -> None:
    """Run the missing trials, ``n_jobs`` at a time, and report the best trial.

    A trial that an earlier call did not finish starts again with the same options, and its run
    continues. If a trial does not finish for a reason outside of it, for example a full disk, the
    search ends after this batch, and the next call repeats the trial. A trial with a process that
    ended twice without a result has failed.

    Args:
        sweeper: a Hydra sweeper after ``setup``; its launcher runs the trials.
        words: the space, in Hydra's syntax for sweeps, and the options of all trials.
        n_trials: the number of trials of all calls, including failed trials.
        n_jobs: the number of trials that the sampler draws before any of them runs.
        sampler: the name of Optuna's sampler.
        pruner: the name of Optuna's pruner, see :mod:`labelnoise.sweeps.pruning`.
        seed: the seed of the sampler.

    Raises:
        InputError: an option is wrong, the folder has another search, its files are damaged, or
            trials failed.
    """
    config = sweeper.config
    _check(config, n_trials=n_trials, n_jobs=n_jobs, sampler=sampler, pruner=pruner, seed=seed)
    space, fixed = read_space(words)
    facts = {
        "space": {name: _described(kind) for name, kind in space.items()},
        "options": [word for word in fixed if _key(word) not in NOT_PART_OF_THE_RUN],
        "score": config.score,
        "sampler": sampler,
        "pruner": pruner,
        "seed": seed,
    }
    folder = Path(config.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder):
        study = open_study(folder, facts, pruner)
        OmegaConf.save(config, folder / "multirun.yaml")
        for trial in _not_whole(study, folder):
            if _fails(_launch(sweeper, [trial], fixed)[0]):
                raise InputError(f"the run of the finished trial {trial.number} cannot be used")
        while batch := _next_batch(study, space, n_trials, n_jobs, sampler, seed):
            returns = _launch(sweeper, batch, fixed)
            trials = zip([trial.number for trial in batch], returns, strict=True)
            if left := [str(number) for number, each in trials if not _tell(study, number, each)]:
                raise InputError(
                    f"the search stopped, because run {', '.join(left)} in {folder} did not "
                    "finish: write the same command again to continue it"
                )
            forget()  # a failed trial is not repeated
        _report(study, folder, space, config.score)


def _launch(sweeper: Any, trials: Sequence[FrozenTrial], fixed: Sequence[str]) -> Sequence[Any]:
    """Run trials with consecutive numbers; returns their results."""
    jobs = [_words_of(trial, fixed) for trial in trials]
    sweeper.validate_batch_is_legal(jobs)
    returns: Sequence[Any] = sweeper.launcher.launch(jobs, initial_job_idx=trials[0].number)
    return returns


def _not_whole(study: Study, folder: Path) -> list[FrozenTrial]:
    """The finished trials with a run that is missing or damaged.

    Launching them computes a missing run again, and names a damaged file.
    """
    from optuna.trial import TrialState

    trials = study.get_trials(states=(TrialState.COMPLETE,))
    return [trial for trial in trials if not RunDirectory(folder / str(trial.number)).is_whole()]


def _check(config: DictConfig, **options: Any) -> None:
    """Refuse wrong options of a search, and options of the sweep that a search cannot have."""
    for key, value in options.items():
        check_value(f"hydra.sweeper.{key}", value, *_OPTIONS[key])
    check_installed()
    check_search_score(config.score)
    if config.hydra.launcher.get("fail_fast"):
        raise InputError(
            "hydra.launcher.fail_fast=true ends a sweep at its first failure, but a search "
            "continues after a failed trial: leave it out"
        )


def read_space(
    words: Sequence[str],
) -> tuple[dict[str, BaseDistribution], list[str]]:
    """The distributions of the searched options, and the words that set one value.

    Raises:
        InputError: no option has several values.

    Example:
        >>> space, fixed = read_space(["optimizer.lr=interval(0.1,1)", "seed=3"])
        >>> space["optimizer.lr"].low, fixed
        (0.1, ['seed=3'])
    """
    space: dict[str, BaseDistribution] = {}
    fixed: dict[str, str] = {}
    for override in OverridesParser.create().parse_overrides(list(words)):
        key = override.get_key_element()
        if override.is_sweep_override():
            space[key] = _distribution(override)
            fixed.pop(key, None)
        else:
            fixed[key] = f"{key}={override.get_value_element_as_str()}"
            space.pop(key, None)
    if not space:
        raise InputError(
            "a search needs an option with several values: write for example "
            "'optimizer.lr=interval(0.01,1)' or technique=none,elr"
        )
    return space, list(fixed.values())


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def _distribution(override: Override) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high, log = value.start, value.end, "log" in value.tags
        assert low is not None and high is not None
        try:
            if isinstance(low, int) and isinstance(high, int):
                return IntDistribution(low, high, log=log)
            return FloatDistribution(low, high, log=log)
        except ValueError as error:
            raise InputError(f"{override.input_line}: {error}") from error
    assert isinstance(value, ChoiceSweep | RangeSweep)
    words = [str(word) for word in override.sweep_iterator(transformer=Transformer.encode)]
    return CategoricalDistribution(words)


def _described(kind: BaseDistribution) -> Any:
    from optuna.distributions import distribution_to_json

    return json.loads(distribution_to_json(kind))


def _sampler_of(name: Sampler, seed: int) -> BaseSampler:
    from optuna import samplers

    if name == "random":
        return samplers.RandomSampler(seed=seed)
    return samplers.TPESampler(seed=seed, constant_liar=True)


def _next_batch(
    study: Study,
    space: dict[str, BaseDistribution],
    n_trials: int,
    n_jobs: int,
    sampler: Sampler,
    seed: int,
) -> list[FrozenTrial]:
    """The trials that an earlier call left unfinished, else new trials; empty at the end."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if trial.params.keys() != space.keys():  # the process was killed while it drew the trial
            study.tell(trial.number, state=TrialState.FAIL)
    drawn = [trial for trial in study.trials if trial.params.keys() == space.keys()]
    if left := [trial for trial in drawn if not trial.state.is_finished()]:
        return left[:n_jobs] if _consecutive(left) else left[:1]
    for _ in range(min(n_jobs, n_trials - len(drawn))):
        number = len(study.trials)
        study.sampler = _sampler_of(sampler, derive_seed(seed, "search", number) % 2**32)
        study.ask(space)
    return [trial for trial in study.trials if trial.state == TrialState.RUNNING]


def _consecutive(trials: Sequence[FrozenTrial]) -> bool:
    return trials[-1].number - trials[0].number == len(trials) - 1


def _words_of(trial: FrozenTrial, fixed: Sequence[str]) -> list[str]:
    return [*fixed, *(f"{name}={value}" for name, value in trial.params.items())]


def _fails(returned: Any) -> bool:
    try:
        return math.isnan(float(returned.return_value))
    except Exception:
        return True


def _tell(study: Study, number: int, returned: Any) -> bool:
    """Record the score of a trial, or that it failed; False if it is to be repeated."""
    from optuna.trial import Trial, TrialState

    try:
        score, lost = float(returned.return_value), False
    except Exception as error:
        print(f"trial {number} failed: {' '.join(str(error).split())}", flush=True)
        score, lost = math.nan, is_of_the_disk(error)
    report: Report | None = getattr(returned, "report", None)
    if lost or (report is not None and report.lost):
        known = study.trials[number]
        died = report is not None and not report.refused and report.status != "interrupted"
        if not (died and known.user_attrs.get(DIED)):
            if died:
                Trial(study, known._trial_id).set_user_attr(DIED, True)
            return False
    if math.isnan(score):
        study.tell(number, state=TrialState.FAIL)
    elif study.trials[number].user_attrs.get(PRUNED):
        study.tell(number, state=TrialState.PRUNED)
    else:
        study.tell(number, score)
    return True


def _report(study: Study, folder: Path, space: Mapping[str, Any], score: str) -> None:
    """Write optimization_results.yaml and print the best trial.

    Raises:
        InputError: trials failed; the message has their numbers.
    """
    from optuna.trial import TrialState

    by_state: dict[TrialState, list[int]] = {}
    for trial in study.trials:
        if trial.params.keys() == space.keys():
            by_state.setdefault(trial.state, []).append(trial.number)
    finished = by_state.get(TrialState.COMPLETE, [])
    pruned, failed = (by_state.get(s, []) for s in (TrialState.PRUNED, TrialState.FAIL))
    print(f"{len(finished)} trials finished, {len(pruned)} pruned, {len(failed)} failed: {folder}")
    if finished:
        best = study.best_trial
        found = {"name": "optuna", "best_params": best.params, "best_value": best.value}
        found |= {"best_trial": best.number, "score": score}
        OmegaConf.save(OmegaConf.create(found), folder / "optimization_results.yaml")
        words = " ".join(f"{name}={value}" for name, value in best.params.items())
        print(f"best {score}: {best.value:.6g}, run {best.number}: {words}")
    if failed:
        raise InputError(
            f"{len(failed)} of {sum(map(len, by_state.values()))} trials failed: run "
            f"{', '.join(map(str, failed))} in {folder}"
        )

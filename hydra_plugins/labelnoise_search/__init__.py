"""Make ``hydra/sweeper=optuna`` known to Hydra, which looks for plugins in this namespace only.

Hydra imports this module at every start, so the search itself is imported when it begins.
"""

from __future__ import annotations

from typing import Any

from hydra.plugins.sweeper import Sweeper


class OptunaSweeper(Sweeper):
    """A sweep whose jobs are the trials of a search, see :mod:`labelnoise.sweeps.search`."""

    def __init__(self, params: Any = None, **options: Any) -> None:
        self.params = params or {}
        self.options = options

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        from hydra.core.plugins import Plugins

        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        from labelnoise.sweeps.search import check_params, search

        check_params(self.params)
        words = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        search(self, words, **self.options)

"""A logger of a user's own."""

from __future__ import annotations

from typing import Any

from pytorch_lightning.loggers import Logger

RECEIVED: dict[str, Any] = {}


class Own(Logger):
    """Keeps what it gets."""

    name = "own"
    version = ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        RECEIVED["options"] = params

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        RECEIVED["summary"] = metrics  # the last ones

    def finalize(self, status: str) -> None:
        RECEIVED["status"] = status

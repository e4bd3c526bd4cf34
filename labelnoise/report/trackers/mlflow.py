"""``logger=mlflow``: MLflow, in a database in output_dir unless the user names a server."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from filelock import FileLock
from omegaconf import DictConfig, OmegaConf

from labelnoise.errors import InputError, reason_of
from labelnoise.report.trackers.tracker import Tracker, numbers

_SECONDS = 5  # to wait for a server at the start
_PORTS = {"http": 80, "https": 443}
_AT_ONCE = 100  # MLflow takes no more options in one call
_LONGEST = 6000  # characters of an option
# What mlflow reads when it is imported: no reports on its use, and no minutes of retries.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class MLflow(Tracker):
    """Lightning's MLFlowLogger; the run of MLflow has its id in manifest.json.

    A resumed run continues the run of MLflow, and leaves out the steps that MLflow has.
    """

    package = "mlflow"
    taken = ("save_dir", "run_id", "run_name", "prefix")

    @classmethod
    def check(cls, choice: str, node: DictConfig) -> None:
        super().check(choice, node)
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        uri = node.get("tracking_uri")
        parts = urlparse(str(uri or ""))
        if parts.scheme not in _PORTS:
            return
        try:
            address = (parts.hostname or "", parts.port or _PORTS[parts.scheme])
            socket.create_connection(address, timeout=_SECONDS).close()
        except (OSError, ValueError) as error:
            raise InputError(
                f"logger.{choice}.tracking_uri={uri} cannot be reached ({reason_of(error)}): start "
                "the server, or leave the option out to write to output_dir"
            ) from error

    def arguments(self) -> dict[str, Any]:
        node = self.cfg.logger[self.choice]
        folder = Path(self.cfg.output_dir, "mlflow").absolute()
        local = node.get("tracking_uri") is None
        uri = f"sqlite:///{folder / 'mlflow.db'}" if local else str(node.tracking_uri)
        files = node.get("artifact_location") or ((folder / "files").as_uri() if local else None)
        if not local:
            return self._run_at(uri, node, files)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):  # jobs of a sweep would create the tables twice
            return self._run_at(uri, node, files)

    def _run_at(self, uri: str, node: DictConfig, files: str | None) -> dict[str, Any]:
        """Find the run of MLflow or create it."""
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow.tracking import MlflowClient

        client = MlflowClient(uri)
        known, experiment = self.run.manifest.section("mlflow"), str(node.experiment_name)
        identity = known.get("run_id") if known.get("tracking_uri") == uri else None
        self.seen: set[tuple[str, int]] = set()
        if identity is not None and _exists(client, identity):
            client.update_run(identity, status="RUNNING")
            for metric in client.get_run(identity).data.metrics:
                points = client.get_metric_history(identity, metric)
                self.seen |= {(metric, point.step) for point in points}
        else:
            tags = {str(k): str(v) for k, v in (node.get("tags") or {}).items()}
            found = client.get_experiment_by_name(experiment)
            number = found.experiment_id if found else client.create_experiment(experiment, files)
            identity = client.create_run(number, run_name=self.label(), tags=tags).info.run_id
            self.run.manifest.update(mlflow={"run_id": identity, "tracking_uri": uri})
        return {"tracking_uri": uri, "artifact_location": files, "run_id": identity}

    def _start(self, truth_known: bool, has_test: bool) -> None:
        from mlflow.entities import Param

        client, identity = self.logger.experiment, self.logger.run_id
        known = client.get_run(identity).data.params  # MLflow never changes them
        new = [Param(k, str(v)[:_LONGEST]) for k, v in self.options().items() if k not in known]
        for first in range(0, len(new), _AT_ONCE):
            client.log_batch(identity, params=new[first : first + _AT_ONCE])
        client.log_text(identity, OmegaConf.to_yaml(self.cfg, resolve=True), "config.yaml")

    def _log(self, metrics: Mapping[str, float], step: int) -> None:
        new = {name: v for name, v in metrics.items() if (name, step) not in self.seen}
        if new:
            self.logger.log_metrics(new, step)

    def _finish(self, summary: Mapping[str, Any], figures: Mapping[str, Path]) -> None:
        client, identity = self.logger.experiment, self.logger.run_id
        self.logger.log_metrics(numbers(summary), summary["step"])
        for path in figures.values():
            client.log_artifact(identity, str(path), "figures")


def _exists(client: Any, identity: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(identity).info.lifecycle_stage == "active")
    except MlflowException:
        return False

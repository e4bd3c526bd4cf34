"""What the trackers of a run hold, read with the programs' own readers where they have one."""

from __future__ import annotations

import csv
import json
import struct
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from labelnoise.config.composition import flat, run_config
from labelnoise.learner.history import History
from labelnoise.report.tables.numbers import numbers_of
from labelnoise.run_directory import RunDirectory

Curves = dict[tuple[str, int], list[float]]


def hparams_page(logdir: Path) -> tuple[Any, Any]:
    """The contents of the HPARAMS page, from the plugin of TensorBoard."""
    from tensorboard import context
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    events = EventMultiplexer().AddRunsFromDirectory(str(logdir)).Reload()
    provider = MultiplexerDataProvider(events, str(logdir))
    page = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    asked = context.RequestContext()
    metadata = page.hparams_metadata(asked, "")
    experiment = page.experiment_from_metadata(asked, "", True, metadata, [])
    statuses = [api_pb2.STATUS_SUCCESS]
    request = api_pb2.ListSessionGroupsRequest(slice_size=100, allowed_statuses=statuses)
    for info in experiment.metric_infos:
        request.col_params.add(metric=info.name)
    for info in experiment.hparam_infos:
        request.col_params.add(hparam=info.name)
    found = list_session_groups.Handler(asked, page, "", request).run().session_groups
    return experiment, sorted(found, key=lambda group: group.name)


def options_of(run: RunDirectory) -> dict[str, Any]:
    """The options in the configuration; a choice stands for its class."""
    options = flat(run_config(run.read_config()))
    left_out = ("_target_", "_partial_")
    return {
        name: value for name, value in options.items()
        if name.rpartition(".")[2] not in left_out and not isinstance(value, dict)
        and not name.startswith("technique_preset.")
    }  # fmt: skip


def history(top: Path) -> Curves:
    rows = History.read_csv(top / "run" / "metrics.csv").rows
    return {(name, step): [v] for step, row in rows.items() for name, v in row.items()}


def config(top: Path) -> dict[str, Any]:
    return flat(OmegaConf.to_container(RunDirectory(top / "run").read_config()))


def results(summary: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    found = numbers_of(summary)
    return {f"{prefix}{k}": float(v) for k, v in found if isinstance(v, int | float)}


def curves_of_csv(top: Path) -> Curves:
    curves: Curves = defaultdict(list)
    with (top / "run" / "csv" / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            step = int(row.pop("step"))
            for name, value in row.items():
                if value:
                    curves[name, step].append(float(value))
    return dict(curves)


def curves_of_tensorboard(top: Path) -> Curves:
    events = EventAccumulator(str(top / "run" / "tensorboard"), {"scalars": 0}).Reload()
    curves: Curves = defaultdict(list)
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            curves[tag, event.step].append(event.value)
    return dict(curves)


def mlflow_run(top: Path) -> tuple[Any, Any]:
    client, (found,) = mlflow_runs(top)
    return client, found


def mlflow_runs(top: Path) -> tuple[Any, Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{top / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("labelnoise")
    assert experiment is not None
    return client, client.search_runs([experiment.experiment_id])


def curves_of_mlflow(client: Any, found: Any) -> Curves:
    curves: Curves = defaultdict(list)
    for name in found.data.metrics:
        for point in client.get_metric_history(found.info.run_id, name):
            curves[name, point.step].append(point.value)
    return dict(curves)


def read_wandb(run: Path) -> dict[str, Any]:
    """The only offline run in a run directory."""
    from wandb.proto import wandb_internal_pb2  # its names exist only when it runs

    (file,) = run.glob("wandb/offline-run-*/*.wandb")
    found: dict[str, Any] = {"folder": file.parent, "config": {}, "summary": {}}
    curves: Curves = defaultdict(list)
    for data in records(file.read_bytes()):
        record = vars(wandb_internal_pb2)["Record"].FromString(data)
        if record.HasField("history"):
            row = {"/".join(i.nested_key) or i.key: json.loads(i.value_json)
                   for i in record.history.item}  # fmt: skip
            step = record.history.step.num
            assert row.pop("trainer/global_step", step) == step
            for name, value in row.items():
                if not name.startswith(("_", "figures/")) and isinstance(value, int | float):
                    curves[name, step].append(value)
        update(found["config"], record.run.config.update)
        update(found["config"], record.config.update)
        update(found["summary"], record.summary.update)
        if record.HasField("run"):
            found["name"] = record.run.display_name
        if record.HasField("exit"):
            found["exit"] = record.exit.exit_code
    found["config"].pop("_wandb", None)
    return {**found, "curves": dict(curves)}


def update(into: dict[str, Any], items: Any) -> None:
    into |= {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}


def records(content: bytes) -> list[bytes]:
    """The records of a .wandb file: LevelDB's log format behind 7 bytes.

    Source: github.com/google/leveldb, doc/log_format.md.
    """
    block = 32768
    found, part, at = [], b"", 7
    while at + 7 <= len(content):
        left = block - at % block
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        part += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            found.append(part)
            part = b""
    assert not part
    return found

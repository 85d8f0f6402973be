"""The HPARAMS tab of TensorBoard: a row a run, with its settings and its results.

TensorBoard takes the columns of all runs under a log folder from the run that it reads first. Therefore every run has
the same columns of results, and of the groups: one short text with the class and its numbers, such as `FedProx 0.01`.
One column is of the global model, and one of the models that clients use, which every algorithm has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedlit.metric_names import TRAIN_LOSS, USED, client_metric, global_metric
from fedlit.readable_names import readable
from fedlit.settings.option_names import STAGES, as_list
from fedlit.sweeps.sweep_record import sweep_of
from fedlit.tracking.tensorboard_tags import tag

Value = int | float | str | bool

_GROUPS = (
    *("data", "partition", "model", "optimizer", "aggregator", "sampler", "lr_schedule", "server_lr_schedule"),
    *("protocol", "columns", "alignment", "cipher"),  # of parties with columns
)
_NUMBERS = ("clients", "rounds", "participation", "local_epochs", "local_updates", "batch_size", "seed")
_SHOWN = ("aggregator", "partition", "optimizer", "seed", "clients")
_SHOWN_AT_ONCE = 5  # TensorBoard ticks this number of columns; the user can tick the others
_METRICS = (global_metric("test", "accuracy"), client_metric(USED, "accuracy", "weighted"), TRAIN_LOSS)


def messages(config: Mapping[str, Any], folder: Path, headline: str) -> list[Any]:
    """The two summaries that add a run to the tab.

    They contain no results: TensorBoard shows the newest value of the scalar with the metric's name in the same run.

    Args:
        config: the resolved configuration.
        folder: the run folder. The first columns are the keys that its sweep varies, or in a single run those that
            its command line sets.
        headline: the metric to show first.
    """
    from tensorboard.plugins.hparams.api_pb2 import Experiment, HParamInfo, MetricInfo, MetricName
    from torch.utils.tensorboard.summary import hparams

    written, sweep = written_values(folder), sweep_of(folder)
    swept = [] if sweep is None else [_column(key) for key in sweep[1].swept]
    values = hyperparameters(config)
    values |= {
        name: _value(written[name]) for name in swept if name not in values and written.get(name, "null") != "null"
    }
    metrics = dict.fromkeys(tag(name) for name in (headline, *_METRICS))
    experiment, started, _ = hparams(values, dict.fromkeys(metrics, 0.0))
    shown = {name for name in swept if name in values} or shown_at_once(values, list(written))
    [content] = experiment.value
    columns = Experiment(
        # columns that "differ" come first
        hparam_infos=[
            HParamInfo(name=name, type=_type(value), differs=name in shown) for name, value in values.items()
        ],
        metric_infos=[MetricInfo(name=MetricName(tag=name)) for name in metrics],
    )
    content.metadata.plugin_data.content = _with_experiment(content.metadata.plugin_data.content, columns)
    return [experiment, started]


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Value]:
    """The settings by dotted key: {"clients": 10, "partition": "Dirichlet 0.5", "partition.alpha": 0.5, ...}.

    The value of a group is its class's name and its numbers other than zero, because zero mostly means off. Lists and
    nulls are left out, and so are groups that only say how or where a run is computed.
    """
    settings = {name: config[name] for name in _NUMBERS if name in config}
    for group in _GROUPS:
        _flatten(config.get(group), group, settings)
    settings |= {group: as_list(group, list(config[group])) for group in STAGES if group in config}
    for group in ("reduction", "attack"):
        _flatten(config.get(group) or {}, group, settings)
        if "uplink" in config:  # a whole configuration
            settings.setdefault(group, "none")
    return {
        name: readable(value) if isinstance(value, str) else value
        for name, value in settings.items()
        if isinstance(value, (int, float, str))
    }


def shown_at_once(values: Mapping[str, Value], written: Sequence[str]) -> set[str]:
    """The columns to show first: keys of the command line, then the usual ones."""
    candidates = [name for name in dict.fromkeys((*written, *_SHOWN)) if name in values]
    return set(candidates[:_SHOWN_AT_ONCE])


def written_values(folder: Path) -> dict[str, str]:
    """Key -> value on the command line of the run; in a sweep, of its job."""
    from omegaconf import OmegaConf

    path = folder / ".hydra" / "overrides.yaml"
    words: Any = OmegaConf.load(path) if path.exists() else []
    pairs = [str(word).partition("=") for word in words]
    return {_column(key): value for key, _, value in pairs}


def _column(key: str) -> str:
    """`aggregator.server_optimizer` for `optimizer@aggregator.server_optimizer`."""
    return key.lstrip("+~").rpartition("@")[2]


def _value(text: str) -> Value:
    try:
        return float(text)
    except ValueError:
        return readable(text)


def _flatten(value: Any, name: str, settings: dict[str, Any]) -> None:
    if not isinstance(value, Mapping):
        settings[name] = value
        return
    arguments = {key: part for key, part in value.items() if not key.startswith("_")}
    if "_target_" in value:
        numbers = [str(part) for part in arguments.values() if type(part) in (int, float) and part]
        settings[name] = " ".join([str(value["_target_"]).rpartition(".")[2], *numbers])
    for key, part in arguments.items():
        _flatten(part, f"{name}.{key}", settings)


def _type(value: Value) -> Any:
    from tensorboard.plugins.hparams.api_pb2 import DATA_TYPE_BOOL, DATA_TYPE_FLOAT64, DATA_TYPE_STRING

    if isinstance(value, bool):
        return DATA_TYPE_BOOL
    return DATA_TYPE_STRING if isinstance(value, str) else DATA_TYPE_FLOAT64


def _with_experiment(content: bytes, columns: Any) -> bytes:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    data = HParamsPluginData.FromString(content)
    data.experiment.CopyFrom(columns)
    return data.SerializeToString()

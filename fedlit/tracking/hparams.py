"""The HPARAMS tab of TensorBoard: what tells runs apart, beside what came out.

TensorBoard takes the columns of all runs under a log folder from one of them, whichever it reads first. So the columns
that are shown at once are the same in every run, whatever its algorithm: a group's column says its class and numbers
in one text, short enough for a column, and algorithms with and without a global model have a column each for
their metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Value = int | float | str | bool

_GROUPS = ("data", "partition", "model", "optimizer", "aggregator", "sampler")
_NUMBERS = ("clients", "rounds", "participation", "local_epochs", "batch_size", "seed")
_SHOWN = ("aggregator", "partition", "optimizer", "seed", "clients")
_SHOWN_AT_ONCE = 5  # TensorBoard ticks that many columns; the others are there to be ticked
_METRICS = ("global/test/accuracy", "clients/personal/accuracy/weighted", "train/loss")


def messages(config: Mapping[str, Any], folder: Path, headline: str) -> list[Any]:
    """The two summaries that put a run into the tab.

    No number is written: TensorBoard shows the newest of the scalar with the metric's name in the same run.

    Args:
        config: the resolved configuration.
        folder: the run folder; the keys that were written for this run are shown first.
        headline: the metric that stands for the run.
    """
    from tensorboard.plugins.hparams.api_pb2 import Experiment, HParamInfo, MetricInfo, MetricName
    from torch.utils.tensorboard.summary import hparams

    values = hyperparameters(config)
    metrics = dict.fromkeys((headline, *_METRICS))
    experiment, started, _ = hparams(values, dict.fromkeys(metrics, 0.0))
    shown = shown_at_once(values, written_keys(folder))
    [content] = experiment.value
    columns = Experiment(
        # those that "differ" come first
        hparam_infos=[
            HParamInfo(name=name, type=_type(value), differs=name in shown) for name, value in values.items()
        ],
        metric_infos=[MetricInfo(name=MetricName(tag=name)) for name in metrics],
    )
    content.metadata.plugin_data.content = _with_experiment(content.metadata.plugin_data.content, columns)
    return [experiment, started]


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Value]:
    """What tells runs apart, flat: {"clients": 10, "partition": "Dirichlet 0.5", "partition.alpha": 0.5, ...}.

    A group stands for its class's name and its numbers other than zero, which is mostly off. Lists and nulls are left
    out, and so are groups that say how and where a run is computed and not what.
    """
    flat = {name: config[name] for name in _NUMBERS if name in config}
    for group in _GROUPS:
        _flatten(config.get(group), group, flat)
    return {name: value for name, value in flat.items() if isinstance(value, (int, float, str))}


def shown_at_once(values: Mapping[str, Value], written: Sequence[str]) -> set[str]:
    """The columns to show first: those that were written for the run, then the usual ones."""
    candidates = [name for name in dict.fromkeys((*written, *_SHOWN)) if name in values]
    return set(candidates[:_SHOWN_AT_ONCE])


def written_keys(folder: Path) -> list[str]:
    """The keys of the words that the run was started with, in a sweep those of its job."""
    from omegaconf import OmegaConf

    path = folder / ".hydra" / "overrides.yaml"
    words: Any = OmegaConf.load(path) if path.exists() else []
    return [str(word).partition("=")[0].lstrip("+~").rpartition("@")[2] for word in words]


def _flatten(value: Any, name: str, flat: dict[str, Any]) -> None:
    if not isinstance(value, Mapping):
        flat[name] = value
        return
    settings = {key: part for key, part in value.items() if not key.startswith("_")}
    if "_target_" in value:
        numbers = [str(part) for part in settings.values() if type(part) in (int, float) and part]
        flat[name] = " ".join([str(value["_target_"]).rpartition(".")[2], *numbers])
    for key, part in settings.items():
        _flatten(part, f"{name}.{key}", flat)


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

"""Run folders written by hand, with chosen values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import OmegaConf

from fedlit.run_folder import FORMAT

ACCURACY, LOSS = "clients/used/accuracy/weighted", "global/test/loss"


def write_run(
    folder: Path,
    overrides: Sequence[str],
    rows: Sequence[Mapping[str, float | None]],
    rounds: int | None = None,
    failure: str | None = None,
    tail: str = "",
) -> Path:
    """A run whose configuration has the overrides as values: it is finished if it has as many rows as rounds.

    Args:
        folder: of the run.
        overrides: `key=value`; those without a dot whose value is no number are groups with a `_target_`.
        rows: metrics of rounds 1, 2, ...
        rounds: planned ones; None: as many as there are rows.
        failure: why it failed.
        tail: text at the end of metrics.jsonl.
    """
    config = OmegaConf.create(
        {
            "rounds": len(rows) if rounds is None else rounds,
            "seed": 0,
            "name": None,
            "clients": 10,
            "evaluation": {"higher_is_better": [], "lower_is_better": [], "metrics": {}},
            "partition": {"_target_": "iid"},
            "aggregator": {"_target_": "fedavg"},
        }
    )
    for word in overrides:
        key, _, value = word.partition("=")
        is_group = "." not in key and not value.replace(".", "").isdecimal()
        OmegaConf.update(config, f"{key}._target_" if is_group else key, value if is_group else json.loads(value))
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(OmegaConf.to_yaml(config))
    (folder / ".hydra" / "overrides.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(list(overrides))))
    (folder / "format.txt").write_text(f"{FORMAT}\n")
    lines = [json.dumps({"round": number, **row}) + "\n" for number, row in enumerate(rows, 1)]
    (folder / "metrics.jsonl").write_text("".join(lines) + tail)
    if failure:
        (folder / "failure.txt").write_text(failure + "\n")
    elif len(rows) == config.rounds:
        (folder / "summary.json").write_text(json.dumps({"rounds": len(rows), "stopped": None}))
    return folder


def write_sweep(folder: Path, values: Mapping[tuple[str, ...], Sequence[float | None]], metric: str = ACCURACY) -> Path:
    """A sweep of runs of one round: overrides -> the metric's value of seeds 1, 2, ..."""
    folder.mkdir(parents=True)
    (folder / "multirun.yaml").write_text("{}\n")
    number = 0
    for overrides, of_seeds in values.items():
        for seed, value in enumerate(of_seeds, 1):
            write_run(folder / str(number), [*overrides, f"seed={seed}"], [{metric: value}])
            number += 1
    return folder

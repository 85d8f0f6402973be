"""README's table of algorithms: `python -m tests.aggregators.algorithm_table` prints it.

Family and paper come from the head of each YAML in conf/aggregator/. What travels and what is kept is counted: from
what a client receives, sends and keeps in the second round of a small federation, and from the server's state.
"""

from __future__ import annotations

import logging
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from fedlit.aggregators import Aggregator
from fedlit.messages.wire import flatten_message
from fedlit.model_vectors import stack
from fedlit.settings.comments import read_file
from fedlit.settings.folders import conf_folder
from tests.aggregators.federations import Running
from tests.aggregators.posed import SIZES, TEST_SIZES, VALIDATION_SIZES, algorithm
from tests.small_runs import OPTIONS, composed

BEGIN = "<!-- algorithms: made by `python -m tests.aggregators.algorithm_table` -->\n"
END = "\n<!-- end of algorithms -->"
_CHANGES: Mapping[str, Mapping[str, Any]] = {"fedfomo": {"M": 3}}  # there are not more than 5 clients
_GLOBAL = ("baseline", "averaging", "server optimiser", "client drift", "fairness")
_PAPER = re.compile(r"\(([A-Z][^()]* \d{4})[^()]*\)")
_FAMILY = re.compile(r"Family: ([^.]+)\.")


@dataclass
class Traffic:
    """Tensors by name, those of clients without the leading axis."""

    down: dict[str, Tensor]
    up: dict[str, Tensor]
    client: dict[str, Tensor]
    server: dict[str, Tensor]
    parts: dict[int, str]  # numbers of weights -> the part of the model that has as many


def traffic(option: str, folder: Path) -> Traffic:
    """What an option sends and keeps, with its defaults, on a module of two layers and batch normalisation."""
    aggregator: Aggregator = algorithm(option, _CHANGES.get(option, {}))
    sizes = [sum(SIZES)] if aggregator.pooled else SIZES
    run = Running(
        folder, aggregator, norm=True, sizes=sizes, validation_sizes=VALIDATION_SIZES, test_sizes=TEST_SIZES
    ).go()
    trees: dict[str, Any] = {}

    def note(client: Any, received: Any, states: Any) -> Any:
        message, state = aggregator.local_update(client, received, stack([s["algorithm"] for s in states]))
        trees.update(down=received, up=message, client=state)
        return {}, [{} for _ in states]

    federation = run.federation
    run.engine.local_worker.run(note, federation.cohort(federation.round(2, [0]), run.state))
    flat = {name: {n: t[0] for n, t in flatten_message(tree).items()} for name, tree in trees.items()}
    size, head = run.layout.size, int(run.layout.where("head").weights.sum())
    norm = int(run.layout.where("norm").weights.sum())
    parts = {size: "1", head: "head", size - head: "body", norm: "norm", size - norm: "all but norm"}
    return Traffic(**flat, server=flatten_message(run.state.server), parts=parts)


def vectors(tensors: Mapping[str, Tensor], parts: Mapping[int, str], axes: Mapping[int, str]) -> str:
    """Such as `2`, `body`, `N + numbers`.

    Args:
        axes: length of a leading axis -> what it counts.
    """
    words: list[str] = []
    whole = numbers = 0
    for name, tensor in tensors.items():
        part = parts.get(tensor.shape[-1] if tensor.dim() else 0)
        if name.endswith(".statistics"):
            continue
        if part is None:
            numbers += tensor.numel()
        elif tensor.dim() == 1:
            whole += part == "1"
            words += [part] if part != "1" else []
        else:
            words.append(axes[tensor.shape[0]] + ("" if part == "1" else f" {part}"))
    for word in dict.fromkeys(words):
        count = words.count(word)
        words = [w for w in words if w != word] + [word if count == 1 else f"{count} {word}"]
    return " + ".join([*([str(whole)] if whole else []), *words, *(["numbers"] if numbers else [])]) or "-"


def row(option: str, folder: Path) -> str:
    """The option's row of the table."""
    head = read_file(conf_folder() / "aggregator" / f"{option}.yaml")
    family, paper = _FAMILY.search(head.source), _PAPER.search(head.about)
    assert family is not None, (
        f"conf/aggregator/{option}.yaml: write its family below the first line, # Family: <words>."
    )
    config = OmegaConf.merge(composed(f"aggregator={option}").config.aggregator, _CHANGES.get(option, {}))
    axes = {value: f"`{key}`" for key, value in config.items() if type(value) is int} | {len(SIZES): "N"}
    counted = traffic(option, folder)
    trees = (counted.down, counted.up, counted.client, counted.server)
    cells = [vectors(tree, counted.parts, axes) for tree in trees]
    return f"| `{option}` | {family[1]} | {paper[1] if paper else '-'} | {' | '.join(cells)} |"


def table(folder: Path, options: Sequence[str] = OPTIONS["aggregator"]) -> str:
    """The options by family."""
    rows = sorted((row(option, folder) for option in options), key=order)
    return "\n".join(
        ["| aggregator= | family | paper | down | up | a client keeps | the server keeps |", "|" + "---|" * 7, *rows]
    )


def order(line: str) -> tuple[int, str, str]:
    """The place of a row: families with one global model first, then those of personal models, each by name."""
    option, family = (cell.strip() for cell in line.split("|")[1:3])
    return _GLOBAL.index(family) if family in _GLOBAL else len(_GLOBAL), family, option


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    print(table(Path(tempfile.mkdtemp()), sys.argv[1:] or OPTIONS["aggregator"]))

"""What the nodes of a tree show to a host: labels, guessed from a few that it knows.

The guest sends some labels and scores the guesses, so `leak=instance_space` measures the attack with no more than
the attack assumes. Each guess is the mean of several draws of known labels.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from fedlit.randomness import generator
from fedlit.vertical.party import Facts, Recv, Send
from fedlit.vertical.party_data import GUEST

DRAWS = 10
"""Sets of known labels."""


def score_guesses(target: np.ndarray, hosts: Sequence[str], known_labels: int) -> Generator[Send | Recv, Any, Facts]:
    """The guest's side: `leak/<host>/<source>_auc`, the area under the ROC curve of the host's guesses, over all people
    whose labels it does not know, as a mean over the draws.

    Sources: `nodes`, of one tree; and the host's own columns with the same labels, by `linear` and `forest`.
    """
    from sklearn.metrics import roc_auc_score

    draws = [generator(0, "known labels", draw).permutation(len(target)) for draw in range(DRAWS)]
    known = np.stack([draw[:known_labels] for draw in draws]).astype(np.int32)
    for host in hosts:
        yield Send(host, "known", {"row": known, "label": target[known].astype(np.int8)})
    facts: Facts = {}
    for host in hosts:
        guesses = yield Recv(host, "guesses")
        for source, scores in sorted(guesses.items()):
            areas = [
                roc_auc_score(target[draw[known_labels:]], score[draw[known_labels:]])
                for draw, score in zip(draws, scores, strict=True)
            ]
            facts[f"leak/{host}/{source}_auc"] = float(np.mean(areas))
    return facts


def guess_labels(seen: Sequence[np.ndarray], values: np.ndarray) -> Generator[Send | Recv, Any, None]:
    """The host's side.

    Args:
        seen: (N,) for each level that the guest has shown: the node of each person; -1 after a leaf.
        values: (N, D), the host's columns.
    """
    known = yield Recv(GUEST, "known")
    present = np.where(np.isnan(values), -1e6, values)
    inputs = {
        "nodes": (_linear, _indicators(seen, len(values))),
        "linear": (_linear, _standardised(values)),
        "forest": (_forest, present),
    }
    scores = {
        source: np.stack([_guessed(make(), table, *draw) for draw in zip(known["row"], known["label"], strict=True)])
        for source, (make, table) in inputs.items()
    }
    yield Send(GUEST, "guesses", scores)


def _guessed(model: Any, table: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) scores; all zero where the known labels are of one class."""
    if len(np.unique(labels)) < 2:
        return np.zeros(len(table), np.float32)
    return model.fit(table[rows], labels).predict_proba(table)[:, 1].astype(np.float32)


def _indicators(seen: Sequence[np.ndarray], people: int) -> np.ndarray:
    """(N, nodes): whether a person is in a node. A ridge penalty then draws a node's guess to that of its parent."""
    levels = [np.zeros(people, np.int64), *seen]
    return np.concatenate([(level[:, None] == np.unique(level[level >= 0])) for level in levels], 1).astype(np.float64)


def _standardised(values: np.ndarray) -> np.ndarray:
    present = ~np.isnan(values)
    means = np.where(present, values, 0).sum(0) / np.maximum(present.sum(0), 1)
    filled = np.where(present, values, means)
    spread = filled.std(0)
    return (filled - filled.mean(0)) / np.where(spread > 0, spread, 1)


def _linear() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)


def _forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(100, min_samples_leaf=3, random_state=0)

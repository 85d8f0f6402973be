"""The examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = [
    "fedlit.aggregators.base",
    "fedlit.data.samples",
    "fedlit.data.source",
    "fedlit.data.transform",
    "fedlit.messages.reductions.base",
    "fedlit.messages.stages.base",
    "fedlit.messages.weights",
    "fedlit.messages.wire",
    "fedlit.metric_names",
    "fedlit.model_vectors",
    "fedlit.partitions.base",
    "fedlit.partitions.shards",
    "fedlit.randomness",
    "fedlit.report.client_curves",
    "fedlit.report.comparisons",
    "fedlit.report.digits",
    "fedlit.report.options",
    "fedlit.report.row_values",
    "fedlit.report.shown_table",
    "fedlit.report.targets",
    "fedlit.reproduce.verdict",
    "fedlit.samplers.base",
    "fedlit.server_round",
    "fedlit.stores.base",
    "fedlit.tracking.logger",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_give_their_printed_values(name: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted and not failed

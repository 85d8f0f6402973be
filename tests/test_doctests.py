"""The examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = [
    "fedlit.data.samples",
    "fedlit.data.source",
    "fedlit.data.transform",
    "fedlit.partitions.base",
    "fedlit.partitions.shards",
    "fedlit.randomness",
    "fedlit.samplers.base",
    "fedlit.stores.base",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_give_their_printed_values(name: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted and not failed

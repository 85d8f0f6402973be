"""The mutations of scripts/mutations.py, and a mutant that runs in place of an algorithm."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
import torch

from fedlit.aggregators import FedProx
from scripts.mutants import FOLDER, is_killed, main, mutated
from scripts.mutations import mutations
from tests.aggregators.posed import PLAIN, Posed

SOURCE = '''
"""Text stays."""
class A:
    weighting = {"delta": "uniform"}
    def f(self, x: "uniform" = 3):
        if x < 1:
            raise ValueError("2")
        return -x ** 2 if not x >= 0.5 or x else x[-1]
'''
CHANGES = [
    ("'uniform'", "'examples'"),
    ("not x >= 0.5 or x", "not x >= 0.5 and x"),
    ("not x >= 0.5", "x >= 0.5"),
    ("x >= 0.5", "x < 0.5"),
    ("0.5", "1.5"),
    ("-x ** 2", "x ** 2"),
    ("x ** 2", "x * 2"),
    ("2", "3"),
    ("-1", "0"),
]


def test_constants_operators_and_signs_are_changed_one_at_a_time() -> None:
    tree = ast.parse(SOURCE)
    before = ast.dump(tree)
    assert {(m.before, m.after) for m in mutations(tree)} == set(CHANGES)
    assert len(list(mutations(tree))) == len(CHANGES)
    assert ast.dump(tree) == before


def test_a_mutant_runs_in_place_of_its_algorithm_and_leaves_no_trace(tmp_path: Path) -> None:
    module = importlib.import_module("fedlit.aggregators.fedprox")
    tree = ast.parse((FOLDER / "fedprox.py").read_text(encoding="utf-8"))

    def trained() -> torch.Tensor:
        return Posed(tmp_path, FedProx(mu=0.5), PLAIN).run.go(2).weights

    before = trained()
    sign = next(m for m in mutations(tree) if m.after == "grad - self.mu * (w - x)")
    with sign.applied(), mutated(module, tree):
        assert not torch.equal(trained(), before)
        assert is_killed(["fedprox"], tmp_path)
    assert torch.equal(trained(), before)


@pytest.mark.slow
def test_every_mutant_is_killed_or_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0, capsys.readouterr().out

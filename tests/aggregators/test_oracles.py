"""Every algorithm of conf/aggregator/ against its oracle, `tests/oracles/<option>.py`; the folder is walked.

Three rounds of five clients with unequal shards and partial participation, in double precision.
"""

from __future__ import annotations

import ast
import importlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from fedlit.engines import serial
from fedlit.errors import InputError
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from fedlit.training.stacked.worker import StackedClient
from tests.aggregators.posed import MOMENTUM, PLAIN, Posed, algorithm, distance, tensors
from tests.oracles.problem import Outcome, Problem
from tests.small_runs import OPTIONS

FOLDER = Path(__file__).parents[1] / "oracles"
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"optimizer": PLAIN},
    "momentum": {"optimizer": MOMENTUM},
    "norm": {"optimizer": PLAIN, "norm": True},
    "norm and momentum": {"optimizer": MOMENTUM, "norm": True},
}
TRAINERS: dict[str, dict[str, Any]] = {
    "lightning": {"kind": LightningTrainer},
    "vectorized": {"kind": VectorizedTrainer, "stack": "always"},
}


def oracle(option: str) -> Any:
    """The module of an option's oracle."""
    if not (FOLDER / f"{option}.py").exists():
        pytest.fail(
            f"aggregator={option} has no oracle: write tests/oracles/{option}.py with CASES and federate(problem, "
            "**hyperparameters), from the paper in plain torch (tests/oracles/problem.py says how)"
        )
    return importlib.import_module(f"tests.oracles.{option}")


def cases() -> list[Any]:
    """(option, number of the case, setting, trainer). The default suite has one for each option."""
    result = []
    for option in OPTIONS["aggregator"]:
        module = oracle(option) if (FOLDER / f"{option}.py").exists() else None
        count = len(module.CASES) if module else 1
        for number, setting, trainer in itertools.product(range(count), SETTINGS, TRAINERS):
            quick = (number, setting, trainer) == (0, hardest_setting(module), "lightning")
            marks = () if quick else (pytest.mark.slow,)
            name = f"{option}-{number}-{setting}-{trainer}"
            result.append(pytest.param(option, number, setting, trainer, marks=marks, id=name))
    return result


def hardest_setting(module: Any) -> str:
    """The last one that the algorithm of an oracle does not refuse."""
    return [s for s in SETTINGS if not refusals(module, s)][-1]


def refusals(module: Any, setting: str) -> list[str]:
    """The sentences by which an algorithm may refuse a setting; empty if it does not."""
    impossible: dict[str, str] = getattr(module, "IMPOSSIBLE", {})
    return [sentence for word, sentence in impossible.items() if word in setting.split(" and ")]


@pytest.mark.parametrize(("option", "number", "setting", "trainer"), cases())
def test_three_rounds_are_those_of_the_paper(
    option: str, number: int, setting: str, trainer: str, tmp_path: Path
) -> None:
    check(option, oracle(option).CASES[number], setting, trainer, tmp_path)


def check(option: str, case: Mapping[str, Any], setting: str, trainer: str, folder: Path) -> None:
    """The run and the oracle agree to 1e-9, and both moved; or the run is refused as the oracle says."""
    module = oracle(option)
    sentences = refusals(module, setting)
    if sentences:
        with pytest.raises(InputError, match="|".join(sentences)):
            pose(option, case, setting, trainer, folder).outcome()
        return
    posed = pose(option, case, setting, trainer, folder)
    problem = posed.problem()
    expected: Outcome = module.federate(problem, **case)
    with mock.patch.object(StackedClient, "_warn", _no_stack), mock.patch.object(serial, "one_by_one", _no_stack):
        given = posed.outcome()
    assert (expected.weights is None) == (given.weights is None), "whether there is a global model"
    assert (expected.personal is None) == (given.personal is None), "whether there are personal models"
    expected_tensors, given_tensors = tensors(expected), tensors(given)
    assert given_tensors.keys() == expected_tensors.keys()
    apart = {n: distance({n: given_tensors[n]}, {n: expected_tensors[n]}) for n in expected_tensors}
    assert max(apart.values()) < 1e-9, {n: d for n, d in apart.items() if not d < 1e-9}
    assert moved(expected, problem) > 1e-3, "nothing moved"


def _no_stack(*about: Any) -> None:
    raise AssertionError(f"the clients of a stack would be trained one by one: {about}")


def pose(option: str, case: Mapping[str, Any], setting: str, trainer: str, folder: Path) -> Posed:
    options = getattr(oracle(option), "POSED", {})
    return Posed(folder, algorithm(option, case), **SETTINGS[setting], **TRAINERS[trainer], **options)


def moved(outcome: Outcome, problem: Problem) -> float:
    """How far the global model, else some personal model, is from the first weights."""
    models = [outcome.weights] if outcome.weights is not None else list(outcome.personal or [])
    return max(distance(model, {name: problem.weights[name] for name in model}) for model in models)


@pytest.mark.parametrize("option", OPTIONS["aggregator"])
def test_every_case_of_an_oracle_has_another_outcome(option: str, tmp_path: Path) -> None:
    """A hyperparameter without an effect would be tested by nothing."""
    module = oracle(option)
    assert module.CASES
    setting = "plain" if refusals(module, "momentum") else "momentum"
    problem = pose(option, module.CASES[0], setting, "lightning", tmp_path).problem()
    outcomes = [tensors(module.federate(problem, **case)) for case in module.CASES]
    for first, second in itertools.combinations(range(len(outcomes)), 2):
        if outcomes[first].keys() == outcomes[second].keys():
            apart = distance(outcomes[first], outcomes[second])
            assert apart > 1e-7, (module.CASES[first], module.CASES[second])


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.py")), ids=lambda file: file.stem)
def test_an_oracle_imports_nothing_of_fedlit(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            assert name.split(".")[0] != "fedlit" and not name.startswith("tests.aggregators"), name

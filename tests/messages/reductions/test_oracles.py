"""Every option of conf/reduction/ against its oracle, `tests/oracles/reductions/<option>.py`; the folder is walked.

Three rounds of eleven of thirteen clients, in double precision, two of them far away; each rule has its state.
"""

from __future__ import annotations

import ast
import importlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from fedlit.messages.reductions import Reduced, Reduction
from fedlit.model_vectors import Model
from fedlit.randomness import generator
from fedlit.server_round import ServerRound
from fedlit.settings.classes import locate
from fedlit.settings.folders import conf_folder
from tests.messages.reductions.rounds import CLIENTS, LAYOUT
from tests.messages.whole_runs import HIDDEN
from tests.oracles.reductions.problem import Sent
from tests.small_runs import OPTIONS

FOLDER = Path(__file__).parents[2] / "oracles" / "reductions"
N, P, CUT = 11, 8, 5  # of P numbers the first `CUT` are one Model's, the others another's
READ = [name for name in OPTIONS["reduction"] if name not in HIDDEN]  # the others: tests/messages/secure
OF_ONE_MODEL = ("fltrust", "flame", "dnc")  # rules that need the whole update, and one that draws coordinates by key


def oracle(option: str) -> Any:
    if not (FOLDER / f"{option}.py").exists():
        pytest.fail(
            f"reduction={option} has no oracle: write tests/oracles/reductions/{option}.py with CASES and "
            "reduced(sent, **options), from the paper in numpy (problem.py says how)"
        )
    return importlib.import_module(f"tests.oracles.reductions.{option}")


def cases() -> list[Any]:
    count = {o: len(oracle(o).CASES) if (FOLDER / f"{o}.py").exists() else 1 for o in READ}
    return [pytest.param(o, i, id=f"{o}-{i}") for o in READ for i in range(count[o])]


def built(option: str, **options: Any) -> Reduction:
    file = OmegaConf.load(conf_folder() / "reduction" / f"{option}.yaml")
    if "inner" in options:
        inner = dict(options["inner"])
        options["inner"] = built(inner.pop("rule"), **inner)
    rule: Reduction = locate(str(file._target_), "reduction")(**options)
    rule.setup(LAYOUT, CLIENTS)
    return rule


class Server:
    """Trains to a given update."""

    def __init__(self, update: np.ndarray):
        self.update = update

    def fit(self, model: Model) -> Any:
        self.model = Model(model.weights + torch.from_numpy(self.update), model.statistics)
        return self


def posed() -> list[Sent]:
    """The rounds; each knows those before."""
    rng = np.random.default_rng(5)
    common, received = rng.normal(size=P), 3 * rng.normal(size=P)
    rounds: list[Sent] = []
    for number in range(1, 4):
        clients = sorted(rng.choice(CLIENTS, N, replace=False).tolist())
        x = common + 1.5 * rng.normal(size=(N, P)) * rng.uniform(0.5, 2, size=(N, 1))
        x[[2, 7]] = [-40 * common, 60 + rng.normal(size=P)]
        rounds.append(
            Sent(
                x,
                clients,
                rng.integers(1, 9, N).astype(float),
                list(rounds),
                received,
                common + 0.3 * rng.normal(size=P),
                lambda *key, number=number: generator(0, "train", number, *key),
            )
        )
    return rounds


def collected(rule: Reduction, sent: Sent, number: int, state: dict[str, Any], option: str) -> Reduced:
    """The round as it reaches a reduction: longest shard first, in chunks."""
    order = sorted(range(N), key=lambda i: -sent.examples[i])
    x, examples = torch.from_numpy(sent.x)[order], torch.from_numpy(sent.examples)[order][:, None]
    clients = [sent.clients[i] for i in order]
    nothing = x[:, :0]
    wire = {"delta.weights": x, "delta.statistics": nothing}
    if option not in OF_ONE_MODEL:
        wire = {
            "delta.weights": x[:, :CUT],
            "delta.statistics": nothing,
            "c.weights": x[:, CUT:],
            "c.statistics": nothing,
        }
    received = Model(torch.from_numpy(sent.received), torch.zeros(0))
    round = ServerRound(number, 0, clients, CLIENTS, broadcast={"model": received}, server_client=Server(sent.server))
    collector = rule.start({}, round, state)
    for start in range(0, N, 4):
        rows = slice(start, start + 4)
        collector.add(clients[rows], {key: value[rows] for key, value in wire.items()}, examples[rows])
    return collector.finish()


@pytest.mark.parametrize(("option", "number"), cases())
def test_three_rounds_are_those_of_the_paper(option: str, number: int) -> None:
    module, state = oracle(option), {}
    case = module.CASES[number]
    rule = built(option, **case)
    tolerance = 1e-7 if option == "geometric_median" else 1e-9  # both iterate
    for t, sent in enumerate(posed(), 1):
        reduced = collected(rule, sent, t, state, option)
        parts = [reduced.message[key].weights for key in ("delta", "c") if key in reduced.message]
        expected = module.reduced(sent, **case)
        assert expected.shape == (P,) and np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(torch.cat(parts).numpy(), expected, rtol=tolerance, atol=tolerance)
        state = reduced.state or {}


@pytest.mark.parametrize("option", READ)
def test_every_case_of_an_oracle_has_another_outcome(option: str) -> None:
    """An option without an effect would be tested by nothing."""
    module, sent = oracle(option), posed()[-1]
    outcomes = [module.reduced(sent, **case) for case in module.CASES]
    for first, second in itertools.combinations(range(len(outcomes)), 2):
        apart = np.abs(outcomes[first] - outcomes[second]).max()
        assert apart > 1e-7, (module.CASES[first], module.CASES[second])


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_an_oracle_imports_nothing_of_fedlit(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            assert name.split(".")[0] != "fedlit" and not name.startswith("tests.messages"), name

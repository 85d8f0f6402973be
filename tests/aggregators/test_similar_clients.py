"""IFCA, CFL, FedAMP and FedFomo: planted groups, the parts of their formulas by hand, and what is refused."""

from __future__ import annotations

import itertools
from math import exp
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedlit.aggregators import CFL, IFCA, Aggregator, FedAMP, FedFomo
from fedlit.aggregators.bipartition import bipartition
from fedlit.aggregators.kept_models import check_memory
from fedlit.errors import InputError
from fedlit.model_vectors import Model
from fedlit.server_round import ServerRound
from tests.aggregators.federations import CLASSES, Running, numbers
from tests.small_runs import command

GROUPS = [[0, 2], [1, 3]]  # of clients; the second one has its classes in another order


def planted() -> tuple[Tensor, Tensor]:
    """Eight training samples a client."""
    x, y = numbers()
    owner = np.concatenate([np.repeat(np.arange(4), 8), np.zeros(len(y) - 32)])
    return x, torch.where(torch.from_numpy(np.isin(owner, GROUPS[1])), (y + 1) % CLASSES, y)


def run(folder: Path, algorithm: Aggregator, rounds: int) -> Running:
    data: Any = {"sizes": [8] * 4, "samples": planted(), "batch_size": 8, "epochs": 5}
    return Running(folder, algorithm, optimizer={"lr": 0.2}, **data).go(rounds)


def grouped(labels: list[int]) -> bool:
    first, second = ({labels[k] for k in group} for group in GROUPS)
    return len(first) == len(second) == 1 and first != second


def test_ifca_finds_planted_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: dict[int, int] = {}
    best = IFCA._best

    def watched(self: IFCA, client: Any, centers: Model) -> tuple[Tensor, Model]:
        j, theta = best(self, client, centers)
        chosen.update(zip(client.number[:, 0].tolist(), j[:, 0].tolist(), strict=True))
        return j, theta

    monkeypatch.setattr(IFCA, "_best", watched)
    run(tmp_path, IFCA(clusters=2), 7)
    assert grouped([chosen[k] for k in range(4)])


def test_cfl_finds_planted_groups(tmp_path: Path) -> None:
    assert grouped(run(tmp_path, CFL(eps1=0.25, eps2=0.5), 6).state.server["cluster"].tolist())


def test_models_of_ifca_begin_with_the_entries_of_each_tensor_in_another_order(tmp_path: Path) -> None:
    running = Running(tmp_path, IFCA(clusters=3))
    first, *others = (running.layout.named(running.state.server["centers"][j]) for j in range(3))
    assert all(torch.equal(value, running.layout.named(running.start)[name]) for name, value in first.items())
    for other in others:
        for name, value in first.items():
            assert torch.equal(other[name].flatten().sort()[0], value.flatten().sort()[0])
            assert not torch.equal(other[name], value)


def test_ifca_refuses_what_the_paper_has_not(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match="write aggregator.averaging=model"):
        IFCA(averaging="gradient", weighting="examples")
    assert not IFCA(averaging="gradient").clients_step and IFCA(averaging="model").clients_step
    assert "optimizer= has no effect" in caplog.text and len(caplog.records) == 1
    ifca = IFCA(clusters=2)
    ifca.setup(SimpleNamespace(where=lambda: Model(torch.ones(2) > 0, torch.ones(0) > 0), pieces=lambda v: {"w": v}), 4)
    with pytest.raises(InputError, match="choose a model with random first weights"):
        ifca.server_state(Model(torch.zeros(2), torch.zeros(0)), torch.Generator())


@pytest.mark.parametrize("clients", [2, 3, 6])
def test_the_bipartition_has_the_smallest_of_the_largest_similarities(clients: int) -> None:
    rng = np.random.default_rng(clients)
    for _ in range(5):
        u = rng.normal(size=(clients, 3))
        alpha = (u @ u.T) / np.linalg.norm(u, axis=1) / np.linalg.norm(u, axis=1)[:, None]
        second, alpha_cross = bipartition(alpha)
        assert second.any() and not second[0]
        assert alpha_cross == alpha[~second][:, second].max()
        parts = itertools.product([False], *[[False, True]] * (clients - 1))
        smallest = min(alpha[~p][:, p].max() for p in map(np.array, parts) if p.any())
        assert alpha_cross == smallest


def test_a_cluster_of_cfl_waits_for_updates_of_all_its_clients_and_for_more_than_noise() -> None:
    updates = torch.tensor([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.0]])  # the mean has norm 1/3
    layout: Any = SimpleNamespace(size=2, statistics={}, dtype=torch.float32)

    def clusters(algorithm: CFL, *cohorts: list[int]) -> list[int]:
        algorithm.setup(layout, 3)
        state = algorithm.server_state(Model(torch.zeros(2), torch.zeros(0)), torch.Generator())
        for number, cohort in enumerate(cohorts, 1):
            round = ServerRound(number, 0, cohort, clients=3, arrived=cohort)
            messages = {
                "delta": Model(updates[cohort], torch.zeros(len(cohort), 0)),
                "examples": torch.ones(len(cohort), 1),
            }
            state = algorithm.server_update(state, messages, round)
        return state["cluster"].tolist()

    assert clusters(CFL(eps1=0.5, eps2=0.9), [0, 1, 2]) == [0, 0, 1]
    assert clusters(CFL(eps1=0.5, eps2=0.9), [0, 2]) == [0, 0, 0]
    eager = CFL(eps1=9.0, eps2=0.0)
    assert clusters(eager, [0, 1, 2], [0, 1]) == [0, 2, 1]  # a cluster of two is cut, too
    assert clusters(eager, [0, 1, 2], [0]) == [0, 0, 1]  # client 1 has sent nothing since its cluster began
    assert clusters(CFL(eps1=0.5, eps2=0.9), [0, 2], [1]) == [0, 0, 1]
    assert clusters(CFL(eps1=0.3, eps2=0.9), [0, 1, 2]) == [0, 0, 0]  # the mean still moves
    assert clusters(CFL(eps1=0.5, eps2=1.1), [0, 1, 2]) == [0, 0, 0]  # the clients have come to rest, too
    assert clusters(CFL(eps1=0.5, eps2=0.9, gamma_max=0.999), [0, 1, 2]) == [0, 0, 0]


def test_fedamp_mixes_near_models_by_equation_5() -> None:
    fedamp = FedAMP(alpha=0.2, sigma=2.0)
    fedamp.clients = 3
    server = {"w": torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)}
    u = fedamp.download(server, torch.tensor([2, 0]), ServerRound(1, 0, [2, 0], 3))["u"]
    xi = [0.1 * exp(-(d**2) / 2) for d in (1, 3, 2)]  # of the pairs 0 and 1, 0 and 2, 1 and 2
    expected = [[(1 - xi[1] - xi[2]) * 3 + xi[2] * 1], [xi[0] * 1 + xi[1] * 3]]
    torch.testing.assert_close(u, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-15)


def test_fedfomo_sends_the_models_of_the_largest_affinity_or_random_ones_and_never_a_client_its_own() -> None:
    clients = torch.arange(6)
    affinity = torch.rand(6, 6, generator=torch.Generator().manual_seed(0))
    server = {"P": affinity, "models": torch.zeros(6, 2), "has_sent": torch.ones(6) > 0}

    def sent(fedfomo: FedFomo, round: int) -> list[list[int]]:
        fedfomo.clients, fedfomo.sent = 6, fedfomo.M
        return fedfomo.download(server, clients, ServerRound(round, 0, list(range(6)), 6))["n"].tolist()

    for i, n in enumerate(sent(FedFomo(M=3, epsilon=0.0), 1)):
        others = [j for j in range(6) if j != i]
        assert n == sorted(others, key=lambda j: -float(server["P"][i, j]))[:3]
    one_sent = {**server, "has_sent": clients == 4}
    fedfomo = FedFomo(M=2, epsilon=0.0)
    fedfomo.clients, fedfomo.sent = 6, 2
    n = fedfomo.download(one_sent, clients, ServerRound(1, 0, list(range(6)), 6))["n"]
    assert n.tolist() == [[4, -1]] * 4 + [[-1, -1]] + [[4, -1]]
    layout: Any = SimpleNamespace(size=2, statistics={}, dtype=torch.float32)
    for M, expected in ((2, 2), (9, 5)):
        fedfomo = FedFomo(M=M, epsilon=0.0)
        fedfomo.setup(layout, 6)
        state = fedfomo.server_state(Model(torch.zeros(2), torch.zeros(0)), torch.Generator())
        n = fedfomo.download(state, clients, ServerRound(1, 0, list(range(6)), 6))["n"]
        assert n.tolist() == [[-1] * expected] * 6  # nobody has sent
    server["P"] = torch.zeros(6, 6)
    ties = [sent(FedFomo(M=3, epsilon=0.0), round) for round in (1, 2)]
    assert ties[0] != ties[1] and {j for n in ties[0] for j in n} == set(range(6))  # not the first three for all
    server["P"] = affinity
    random = [sent(FedFomo(M=3, epsilon=1.0), round) for round in (1, 2)]
    assert random[0] != random[1] == sent(FedFomo(M=3, epsilon=1.0), 2)
    assert all(i not in n and len(set(n)) == 3 for n_of_all in random for i, n in enumerate(n_of_all))


def test_fedfomo_adds_the_weights_to_the_affinity_of_the_clients_that_sent_them() -> None:
    models = Model(torch.zeros(3, 1), torch.zeros(3, 0))
    server = {"models": models, "has_sent": torch.tensor([False, True, False]), "P": torch.arange(9.0).reshape(3, 3)}
    message = {
        "model": Model(torch.tensor([[5.0], [7.0]]), torch.zeros(2, 0)),
        "w": torch.tensor([[0.5, -2.0], [0.25, 0.0]]),
        "n": torch.tensor([[1, 0], [1, -1]]),  # the last one is no model
    }
    after = FedFomo().server_update(server, message, ServerRound(2, 0, [2, 0], clients=3, arrived=[2, 0]))
    assert after["P"].tolist() == [[0.0, 1.25, 2.0], [3.0, 4.0, 5.0], [4.0, 7.5, 8.0]]
    assert after["models"].weights.tolist() == [[7.0], [0.0], [5.0]] and after["has_sent"].all()


def test_fedfomo_finds_planted_groups(tmp_path: Path) -> None:
    """Each client has the largest affinity to the other one of its group."""
    state = run(tmp_path, FedFomo(M=2, epsilon=0.0, loss_on="train"), 4).state.server
    assert state["P"].fill_diagonal_(-torch.inf).argmax(-1).tolist() == [2, 3, 0, 1]


def test_fedfomo_without_validation_samples_is_refused_before_work(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["aggregator=fedfomo", "data=digits", "clients=4", "threads=1", "hydra.run.dir=run"]
    assert command(*words, "aggregator.loss_on=validation") == 2
    sentence = capsys.readouterr().err
    assert "FedFomo measures losses on validation samples" in sentence
    assert "write evaluation.client_validation=0.2" in sentence


def test_a_federation_whose_models_need_more_than_the_memory_is_refused() -> None:
    layout: Any = SimpleNamespace(size=10**6, statistics={}, dtype=torch.float32)
    check_memory("cfl", layout, 10, models=2)
    with pytest.raises(InputError, match="aggregator=cfl: the server keeps 2 x 1,000,000 values .* write clients="):
        check_memory("cfl", layout, 10**9, models=2)


def test_the_memory_of_kept_models_is_counted_to_the_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    layout: Any = SimpleNamespace(size=10, statistics={"mean": torch.Size([6])}, dtype=torch.float32)
    memory = {"SC_PAGE_SIZE": 4 * (10 + 6), "SC_PHYS_PAGES": 3 * 2}
    monkeypatch.setattr("os.sysconf", memory.__getitem__)
    check_memory("cfl", layout, 3, models=2)
    memory["SC_PAGE_SIZE"] -= 1
    with pytest.raises(InputError, match="write clients=2 or less"):
        check_memory("cfl", layout, 3, models=2)


def test_the_memory_of_pairs_of_clients_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    layout: Any = SimpleNamespace(size=10, statistics={}, dtype=torch.float32)
    memory = {"SC_PAGE_SIZE": 4, "SC_PHYS_PAGES": 3 * 10 + 2 * 3 * 3}
    monkeypatch.setattr("os.sysconf", memory.__getitem__)
    check_memory("fedfomo", layout, 3, pairs=2)
    for clients in (4, 40):
        with pytest.raises(InputError, match="and 2 numbers of each pair of them, .*; write clients=3 or less"):
            check_memory("fedfomo", layout, clients, pairs=2)

"""Whose messages arrived, and the rows of all clients that they replace."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fedlit.aggregators import FedAvg
from fedlit.engines import Processes
from fedlit.errors import InputError
from fedlit.model_vectors import Model
from fedlit.server_round import ServerRound
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import Listed, Running


def arrived(*clients: int) -> ServerRound:
    return ServerRound(1, 0, list(clients), 4, arrived=list(clients))


def test_new_rows_are_put_where_their_clients_are() -> None:
    tree = {"m": Model(torch.zeros(4, 2), torch.zeros(4, 0)), "parts": {"n": torch.arange(4)}}
    new = {"m": Model(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(2, 0)), "parts": {"n": torch.tensor([7, 8])}}
    put = arrived(3, 1).put(tree, new)
    assert put["m"].weights.tolist() == [[0, 0], [3, 4], [0, 0], [1, 2]] and put["parts"]["n"].tolist() == [0, 8, 2, 7]
    assert tree["parts"]["n"].tolist() == [0, 1, 2, 3] and not tree["m"].weights.any()
    assert torch.equal(tree["parts"]["n"][arrived(3, 1).rows], torch.tensor([3, 1]))


def test_of_a_client_that_was_drawn_twice_the_last_row_counts() -> None:
    round = arrived(2, 0, 2)
    assert round.rows.tolist() == [2, 0, 2]
    assert round.put(torch.zeros(4), torch.tensor([1.0, 2.0, 3.0])).tolist() == [2.0, 0.0, 3.0, 0.0]


def test_where_nobody_arrived_nothing_is_put() -> None:
    round = arrived()
    assert round.rows.shape == (0,) and round.rows.dtype == torch.int64
    assert round.put(torch.ones(4, 2), torch.zeros(0, 2)).tolist() == [[1.0, 1.0]] * 4


def test_numbers_take_the_type_of_what_the_server_keeps() -> None:
    assert arrived(1).put(torch.zeros(4, dtype=torch.float64), torch.ones(1)).dtype == torch.float64


@pytest.mark.parametrize(
    ("tree", "new", "sentence"),
    [
        (
            (3, 2),
            (2, 2),
            r"^round.put: the tensor of all clients has shape \(3, 2\), and needs \(4, 2\): there are 4 cl",
        ),
        ((4, 2), (3, 2), r"^round.put: the tensor of new has shape \(3, 2\), and needs \(2, 2\): .* and 2 arrived.$"),
        ((4, 2), (2, 1), r"has shape \(2, 1\), and needs \(2, 2\)"),
        ((4, 2), (2,), r"has shape \(2,\), and needs \(2, 2\)"),
        ((), (2,), r"the tensor of all clients has shape \(\), and needs \(4,\)"),
    ],
)
def test_other_numbers_of_rows_are_refused(tree: tuple[int, ...], new: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        arrived(3, 1).put(torch.zeros(tree), torch.zeros(new))


@pytest.mark.parametrize(
    ("tree", "new", "sentence"),
    [
        ({"h": 1, "g": 1}, {"h": 1}, "its first argument has the keys h, g, and the new rows have h"),
        ({"h": {"v": 1}}, {"h": {"w": 1}}, "h has the keys v, and the new rows have w"),
        ({"h": 1}, {"h": None}, "h is a Tensor, and the new rows are a NoneType"),
        ({"h": {"v": 1}}, {"h": 1}, "h is a dict, and the new rows are a Tensor"),
    ],
)
def test_other_trees_are_refused(tree: dict, new: dict, sentence: str) -> None:
    def filled(value):  # tensors in place of numbers
        if isinstance(value, dict):
            return {key: filled(inner) for key, inner in value.items()}
        return value and torch.zeros(4, 1)

    with pytest.raises(InputError, match=f"^round.put: {sentence}"):
        arrived(3, 1).put(filled(tree), filled(new))


def test_a_model_is_not_put_into_a_tensor() -> None:
    with pytest.raises(InputError, match="is a Tensor, and the new rows are a Model; give two"):
        arrived(3, 1).put(torch.zeros(4, 2), Model(torch.zeros(2, 2), torch.zeros(2, 0)))


class Noting(FedAvg):
    """What `download`, `unpack` and `server_update` know of the clients and the round."""

    needs_all = True

    def __init__(self):
        super().__init__()
        self.seen: list[tuple] = []

    def server_state(self, model, rng):
        return {"model": model, "asked": torch.zeros(4, 1)}

    def download(self, server, clients, round):
        self.seen.append(("download", clients.tolist(), round.purpose, round.number, round.expected))
        return {"asked": server["asked"][clients], "parts": {"number": clients[:, None]}}

    def local_update(self, client, received, state):
        assert torch.equal(received["parts"]["number"], client.number)
        message, state = super().local_update(client, received, state)
        return {**message, "n": client.number, "asked": received["asked"] + 1}, state

    def unpack(self, message, round):
        assert round.broadcast["model"].weights.dim() == 1
        return {**message, "round": torch.full_like(message["n"], round.number)}

    def server_update(self, server, reduced, round):
        assert round.rows.tolist() == round.arrived == reduced["n"][:, 0].tolist()
        assert reduced["round"].tolist() == [[round.number]] * len(round.arrived)
        return {
            "model": server["model"] + reduced["delta"].mean_clients(),
            "asked": round.put(server["asked"], reduced["asked"]),
        }


@pytest.mark.parametrize("options", [{}, {"kind": VectorizedTrainer, "chunk": 2}], ids=["lightning", "chunks"])
def test_downloads_and_messages_belong_to_their_clients(options: dict, tmp_path: Path) -> None:
    run = Running(tmp_path, Noting(), Listed([3, 0, 1], [2, 0]), **options).go(2)
    assert run.state.server["asked"].tolist() == [[2.0], [1.0], [1.0], [1.0]]
    seen = run.federation.aggregator.seen
    assert [s for s in seen if s[2] == "train"] == [
        ("download", [0, 3, 1], "train", 1, 2.5),
        ("download", [0, 2], "train", 2, 2.5),
    ]
    assert {s[1:4] == ([0], "evaluate", s[3]) for s in seen if s[2] != "train"} == {True}
    model = 8 * len(run.weights)
    assert [row["comm/bytes_down"] for row in run.rows] == [3 * (model + 4 + 8), 2 * (model + 4 + 8)]


@pytest.mark.slow
def test_downloads_reach_clients_in_other_processes(tmp_path: Path) -> None:
    with Processes(workers=2) as engine:
        run = Running(tmp_path, Noting(), Listed([3, 0, 1], [2, 0]), engine=engine).go(2)
    serial = Running(tmp_path, Noting(), Listed([3, 0, 1], [2, 0])).go(2)
    assert torch.equal(run.weights, serial.weights)
    assert torch.equal(run.state.server["asked"], serial.state.server["asked"])
    assert [row["comm/bytes_down"] for row in run.rows] == [row["comm/bytes_down"] for row in serial.rows]


@pytest.mark.parametrize("options", [{}, {"kind": VectorizedTrainer}], ids=["lightning", "stack"])
def test_a_download_without_a_row_for_each_client_is_refused(options: dict, tmp_path: Path) -> None:
    class Shared(FedAvg):
        def download(self, server, clients, round):
            return {"c": torch.zeros(7)}

    with pytest.raises(
        InputError, match=r"^download of Shared: c of its result has shape \(7,\): its first axis .* the 4"
    ):
        Running(tmp_path, Shared(), **options).go()

"""FedPer and Local: the private parts stay with their clients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fedlit.aggregators import FedPer, Local
from fedlit.errors import InputError
from tests.aggregators.federations import CLASSES, Listed, Running, numbers
from tests.oracles import averaging


def test_fedper_finds_the_last_layer_and_keeps_it_with_the_client(tmp_path: Path) -> None:
    run = Running(tmp_path, FedPer()).go(2)
    heads = [run.client_state(c)["private"].weights for c in range(4)]
    assert all(len(h) == CLASSES * 6 for h in heads)
    assert all(not torch.equal(heads[i], heads[j]) for i in range(4) for j in range(i))
    body = len(run.start.weights) - CLASSES * 6
    assert len(run.state.server["shared"].weights) == body
    assert [(r["comm/bytes_down"], r["comm/bytes_up"]) for r in run.rows] == [(4 * 8 * body, 4 * 8 * body)] * 2
    assert not any(name.startswith("global/") for row in run.rows for name in row)


def test_fedper_trains_head_and_body_and_averages_the_body(tmp_path: Path) -> None:
    run = Running(tmp_path, FedPer(head="head"))
    start, (x, y) = run.layout.named(run.start), numbers()
    body = {n: t for n, t in start.items() if n.startswith("body")}
    heads = {c: {n: t for n, t in start.items() if n.startswith("head")} for c in range(4)}
    for number in (1, 2):
        orders = run.orders(number, range(4))
        trained = {c: averaging.train(body | heads[c], x, y, orders[c], lr=0.1) for c in range(4)}
        count = {c: len({i for b in orders[c] for i in b}) for c in range(4)}
        body = {n: sum(count[c] * trained[c][n] for c in trained) / sum(count.values()) for n in body}
        heads = {c: {n: trained[c][n] for n in heads[c]} for c in trained}
    run.go(2)
    shared = torch.cat([t.flatten() for t in body.values()])
    torch.testing.assert_close(run.state.server["shared"].weights, shared, rtol=0, atol=1e-9)
    for c, head in heads.items():
        trained_head = torch.cat([t.flatten() for t in head.values()])
        torch.testing.assert_close(run.client_state(c)["private"].weights, trained_head, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        ("classifier", "the pattern 'classifier' fits no name in the model; its names are body.weight"),
        (["body", "head"], "the head is the whole model and nothing would travel"),
    ],
)
def test_fedper_refuses_a_pattern_with_a_sentence(head: str | list[str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        Running(tmp_path, FedPer(head=head))


def test_local_sends_nothing_and_trains_each_client_alone(tmp_path: Path) -> None:
    cohorts = [[0, 2], [2, 3]]
    run = Running(tmp_path, Local(), Listed(*cohorts))
    start, (x, y) = run.layout.named(run.start), numbers()
    models = dict.fromkeys((0, 2, 3), start)
    for number, cohort in enumerate(cohorts, 1):
        for c, batches in run.orders(number, cohort).items():
            models[c] = averaging.train(models[c], x, y, batches, lr=0.1)
    run.go(2)
    assert [(r["comm/bytes_down"], r["comm/bytes_up"]) for r in run.rows] == [(0, 0)] * 2
    for c, model in models.items():
        named = run.layout.named(run.client_state(c)["model"])
        for name, value in model.items():
            torch.testing.assert_close(named[name], value, rtol=0, atol=1e-9)
    assert run.state.clients.get([1]) == [None]  # never asked: its model has the initial weights
    assert run.rows[-1]["clients/personal/evaluated"] == 4

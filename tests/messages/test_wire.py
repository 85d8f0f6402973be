"""A message as it travels."""

from __future__ import annotations

import torch

from fedlit.messages.wire import flatten_message, num_bytes, unflatten_message
from fedlit.model_vectors import Model


def message() -> dict:
    model = Model(torch.arange(6.0).view(2, 3), torch.ones(2, 1))
    return {"delta": model, "steps": torch.tensor([[1.0], [2.0]]), "more": {"a": torch.zeros(2, 4), "model": model}}


def test_flatten_message_names_every_tensor() -> None:
    wire = flatten_message(message())
    assert {n: tuple(t.shape) for n, t in wire.items()} == {
        "delta.weights": (2, 3),
        "delta.statistics": (2, 1),
        "steps": (2, 1),
        "more.a": (2, 4),
        "more.model.weights": (2, 3),
        "more.model.statistics": (2, 1),
    }


def test_unflatten_message_restores_models_and_leaves_dicts_flat() -> None:
    sent = message()
    back = unflatten_message(flatten_message(sent))
    assert back.keys() == {"delta", "steps", "more.a", "more.model"}
    for key, model in (("delta", sent["delta"]), ("more.model", sent["more"]["model"])):
        assert isinstance(back[key], Model)
        assert torch.equal(back[key].weights, model.weights)
        assert torch.equal(back[key].statistics, model.statistics)
    assert torch.equal(back["steps"], sent["steps"])
    assert flatten_message(back).keys() == flatten_message(sent).keys()


def test_a_tensor_that_is_called_weights_is_no_model() -> None:
    assert unflatten_message({"weights": torch.ones(2, 1), "a.weights": torch.ones(2, 1)}).keys() == {
        "weights",
        "a.weights",
    }


def test_num_bytes_counts_the_bytes_of_each_type() -> None:
    wire = {"a": torch.zeros(3, 5), "b": torch.zeros(4, dtype=torch.int8), "c": torch.zeros(2, 2, dtype=torch.float64)}
    assert num_bytes(wire) == 60 + 4 + 32
    assert num_bytes({}) == 0

"""Recurrent layers written out, against torch's fused ones."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from fedlit.keyed_random.random_mode import RandomMode
from tests.torch_patches.rows import assert_same, one_by_one, stacked

SHAPE = (3, 2, 5, 4)  # rows, batch, time, features
OPTIONS = {
    "plain": {},
    "two layers, both directions": {"num_layers": 2, "bidirectional": True},
    "batch first, no bias": {"batch_first": True, "bias": False},
    "three layers, batch first": {"num_layers": 3, "batch_first": True},
}


pytestmark = pytest.mark.usefixtures("double_precision")


class Everything(nn.Module):
    """Outputs and last states of a layer in one vector."""

    def __init__(self, layer: nn.Module, state: object = None):
        super().__init__()
        self.layer, self.state = layer, state

    def forward(self, x):
        output, last = self.layer(x, self.state)
        return torch.cat([t.flatten() for t in (output, *(last if isinstance(last, tuple) else (last,)))])


class Along(nn.Module):
    """A cell over the second axis."""

    def __init__(self, cell: nn.Module):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        state = None
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
        return torch.cat(state) if isinstance(state, tuple) else state


LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN, "relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k)}
CELLS = {
    "lstm": nn.LSTMCell,
    "gru": nn.GRUCell,
    "tanh": nn.RNNCell,
    "relu": lambda *a, **k: nn.RNNCell(*a, nonlinearity="relu", **k),
}


@pytest.mark.parametrize(("kind", "options"), list(itertools.product(LAYERS, OPTIONS)))
def test_layers_are_torchs_outputs_states_and_gradients(kind, options):
    module = Everything(LAYERS[kind](4, 6, **OPTIONS[options]))
    inputs = torch.randn(SHAPE)
    assert_same(stacked(module, inputs, keyed=False), one_by_one(module, inputs, keyed=False))


def test_a_projection_and_an_unbatched_input():
    module = Everything(nn.LSTM(4, 6, 2, proj_size=3, bidirectional=True))
    inputs = torch.randn(3, 5, 4)
    assert_same(stacked(module, inputs, keyed=False), one_by_one(module, inputs, keyed=False))


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_initial_states_are_used(kind):
    state = torch.randn(2, 5, 6)
    module = Everything(LAYERS[kind](4, 6, 2), (state, state + 1) if kind == "lstm" else state)
    inputs = torch.randn(3, 7, 5, 4)
    assert_same(stacked(module, inputs, keyed=False), one_by_one(module, inputs, keyed=False))


@pytest.mark.parametrize(("kind", "bias"), list(itertools.product(CELLS, [True, False])))
def test_cells_are_torchs_outputs_states_and_gradients(kind, bias):
    module, inputs = Along(CELLS[kind](4, 6, bias=bias)), torch.randn(SHAPE)
    assert_same(stacked(module, inputs, keyed=False), one_by_one(module, inputs, keyed=False))


def test_without_vmap_a_layer_without_dropout_stays_fused(monkeypatch):
    monkeypatch.setattr("fedlit.keyed_random.recurrent._layers", None)
    layer, x = nn.LSTM(4, 6, 2), torch.randn(5, 3, 4)
    with RandomMode(1, 0, keyed=True, seed=False):
        layer(x)


@pytest.mark.parametrize("kind", LAYERS)
def test_dropout_between_layers_is_keyed(kind):
    layer, x = LAYERS[kind](4, 6, 2, dropout=0.5), torch.randn(5, 3, 4)

    def run(key: int) -> torch.Tensor:
        with RandomMode(key, 0, keyed=True, seed=False):
            return layer(x)[0]

    before = torch.get_rng_state()
    assert torch.equal(run(1), run(1)) and not torch.equal(run(1), run(2))
    assert torch.equal(torch.get_rng_state(), before)
    layer.eval()
    plain = layer(x)[0]
    assert torch.equal(run(1), plain)
    module, inputs = Everything(LAYERS[kind](4, 6, 3, dropout=0.3, bidirectional=True)), torch.randn(SHAPE)
    assert_same(stacked(module, inputs), one_by_one(module, inputs))


def test_dropout_acts_between_layers_and_not_on_the_last_output():
    """The second layer's output is its input: its input weights are the identity, the hidden weights zero."""
    layer = nn.RNN(50, 50, 2, nonlinearity="relu", bias=False, dropout=0.4)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.copy_(torch.eye(50) if "ih" in name else torch.zeros(50, 50))
    with RandomMode(3, 0, keyed=True, seed=False):
        out, last = layer(torch.ones(40, 10, 50))
    assert torch.allclose(out.unique(), torch.tensor([0.0, 1 / 0.6]))
    assert abs(float((out == 0).double().mean()) - 0.4) < 5 * (0.24 / out.numel()) ** 0.5
    assert torch.equal(last[0], torch.ones(10, 50)) and torch.equal(last[1], out[-1])


def test_packed_sequences_are_refused_under_vmap():
    layer, data = nn.LSTM(4, 6), pack_sequence([torch.ones(3, 4), torch.ones(2, 4)])

    class Packed(nn.Module):
        def forward(self, x):
            packed = PackedSequence(data.data * x, data.batch_sizes)
            return layer(packed)[0].data

    with pytest.raises(NotImplementedError, match="packed sequence"):
        stacked(Packed(), torch.ones(3))

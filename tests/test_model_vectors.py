"""A module as two vectors, and the names of their places."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fedlit.errors import InputError
from fedlit.model_vectors import Layout, Model, merge, select, stack, tree_map


class Tangled(nn.Module):
    """Tied weights, a frozen layer, one submodule under two names, a batch norm, an integer buffer."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Embedding(5, 4)
        self.decode = nn.Linear(4, 5)
        self.decode.weight = self.encode.weight
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.block = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.alias = self.block
        self.register_buffer("flags", torch.zeros(3, dtype=torch.bool))


def test_each_tensor_is_counted_once_and_frozen_ones_not_at_all():
    layout = Layout(Tangled())
    assert list(layout.weights) == [
        "encode.weight",
        "decode.bias",
        "block.0.weight",
        "block.0.bias",
        "block.1.weight",
        "block.1.bias",
    ]
    assert list(layout.statistics) == ["block.1.running_mean", "block.1.running_var"]
    assert set(layout.counters) == {"flags", "block.1.num_batches_tracked"}
    assert layout.names["encode.weight"] == ["encode.weight", "decode.weight"]
    assert layout.names["block.0.bias"] == ["block.0.bias", "alias.0.bias"]


def test_read_returns_what_write_wrote():
    module = Tangled()
    layout = Layout(module)
    frozen = module.frozen.weight.clone()
    p, s = 20 + 5 + 16 + 4 + 8, 8
    layout.write(module, Model(torch.arange(float(p)), torch.arange(float(s)) + 100))
    back = layout.read(module)
    assert back.weights.tolist() == list(range(p)) and back.statistics.tolist() == list(range(100, 108))
    assert module.decode.weight is module.encode.weight
    assert module.decode.weight.flatten().tolist() == list(range(20))
    assert module.decode.bias.tolist() == [20, 21, 22, 23, 24]
    assert module.alias[1].running_var.tolist() == [104, 105, 106, 107]
    assert torch.equal(module.frozen.weight, frozen)
    back.weights.zero_()
    assert module.decode.bias.tolist() == [20, 21, 22, 23, 24]  # read gives a copy


def test_pieces_keep_leading_axes():
    layout = Layout(Tangled())
    rows = torch.arange(2.0 * 53).view(2, 53)
    pieces = layout.pieces(rows)
    assert pieces["encode.weight"].shape == (2, 5, 4)
    assert torch.equal(pieces["decode.bias"][1], rows[1, 20:25])
    assert layout.pieces(torch.ones(2, 1))["encode.weight"].shape == (2, 1, 1)
    assert set(layout.named(Model(rows, torch.zeros(2, 8)))) == {*layout.weights, *layout.statistics}


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("decode", {"encode.weight", "decode.bias"}),  # tied: every name counts
        ("bias", {"decode.bias", "block.0.bias", "block.1.bias"}),
        ("alias.1", {"block.1.weight", "block.1.bias", "block.1.running_mean", "block.1.running_var"}),
        ("block.*.weight", {"block.0.weight", "block.1.weight"}),
        ("running_*", {"block.1.running_mean", "block.1.running_var"}),
        ("block.?.bias", {"block.0.bias", "block.1.bias"}),
    ],
)
def test_patterns_select_tensors_by_any_of_their_names(pattern, fits):
    layout = Layout(Tangled())
    where = layout.where(pattern)
    selected = {n for n, piece in layout.named(where).items() if piece.all()}
    assert selected == fits
    size = sum({**layout.weights, **layout.statistics}[n].numel() for n in fits)
    assert int(where.weights.sum() + where.statistics.sum()) == size


def test_a_pattern_fits_whole_segments():
    layout = Layout(nn.Sequential(*[nn.Linear(1, 1) for _ in range(11)]))
    assert int(layout.where("1").weights.sum()) == 2
    assert int(layout.where("1*").weights.sum()) == 4  # 1 and 10
    for number in (1, [1, "10"]):  # as YAML reads aggregator.head=1
        assert int(layout.where(number).weights.sum()) == 2 * (1 if number == 1 else 2)


def test_a_pattern_that_fits_no_name_is_refused_with_the_names():
    with pytest.raises(InputError, match=r"'dekode' fits no name.*encode\.weight"):
        Layout(Tangled()).where("dekode")


def test_where_selects_layers_by_class():
    layout = Layout(Tangled())
    where = layout.where(kinds=(nn.modules.batchnorm._BatchNorm,))
    assert int(where.weights.sum()) == 8 and bool(where.statistics.all())


def test_vectors_have_the_widest_type_of_the_module():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    layout = Layout(module)
    assert layout.dtype == layout.read(module).weights.dtype == torch.float64
    layout.write(module, tree_map(lambda t: t + 1, layout.read(module)))
    assert module[0].weight.dtype == torch.float32


def test_without_floating_buffers_statistics_are_empty():
    module = nn.Linear(2, 2).double()
    assert Layout(module).read(module).statistics.shape == (0,)
    assert Layout(module).read(module).statistics.dtype == torch.float64
    elsewhere = module.to("meta")
    assert Layout(elsewhere).read(elsewhere).statistics.device.type == "meta"


def test_modules_without_trainable_parameters_are_refused():
    with pytest.raises(InputError, match="nothing to train"):
        Layout(nn.Linear(2, 2).requires_grad_(False))


def test_take_and_join_are_inverse():
    model = Model(torch.arange(6.0).view(2, 3), torch.arange(4.0).view(2, 2))
    where = Model(torch.tensor([True, False, True]), torch.tensor([False, True]))
    other = tree_map(torch.logical_not, where)
    part, rest = select(model, where), select(model, other)
    assert part.weights.tolist() == [[0, 2], [3, 5]]
    back = merge(where, part, rest)
    assert torch.equal(back.weights, model.weights) and torch.equal(back.statistics, model.statistics)
    mixed = merge(where, part, tree_map(lambda t: t[0], rest))  # (P',) broadcasts over the clients
    assert mixed.weights.tolist() == [[0, 1, 2], [3, 1, 5]]


def test_tree_functions_keep_the_structure():
    tree = {"a": torch.ones(2), "m": Model(torch.ones(3), torch.zeros(1))}
    two = stack([tree, tree])
    assert two["a"].shape == (2, 2) and two["m"].weights.shape == (2, 3)
    assert tree_map(torch.add, tree, tree)["m"].weights.tolist() == [2, 2, 2]
    both = tree["m"] + tree["m"] - tree["m"]
    assert both.weights.tolist() == [1, 1, 1]


def random_models(k: int) -> Model:
    """A stack of `k` models, (K, 5) and (K, 2)."""
    rng = torch.Generator().manual_seed(0)
    return Model(*(torch.randn(k, size, generator=rng, dtype=torch.float64) for size in (5, 2)))


def same(model: Model, weights: torch.Tensor, statistics: torch.Tensor) -> bool:
    return torch.equal(model.weights, weights) and torch.equal(model.statistics, statistics)


def test_arithmetic_acts_on_weights_and_statistics():
    a, b = random_models(3), random_models(3) * 7.0
    (x, s), (y, r) = (a.weights, a.statistics), (b.weights, b.statistics)
    assert same(a + b, x + y, s + r)
    assert same(a - b, x - y, s - r)
    assert same(-a, -x, -s)
    assert same(a * 0.3, x * 0.3, s * 0.3)
    assert same(0.3 * a, x * 0.3, s * 0.3)
    assert same(a / 0.3, x / 0.3, s / 0.3)
    zeros = a.zeros_like()
    assert same(zeros, torch.zeros(3, 5, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.float64))


def test_a_factor_per_client_scales_each_client_by_its_own():
    stacked, factor = random_models(3), torch.tensor([[1.0], [2.0], [-4.0]], dtype=torch.float64)
    for scaled in (stacked * factor, factor * stacked, stacked / (1 / factor)):
        for k, number in enumerate((1.0, 2.0, -4.0)):
            assert same(scaled[k], stacked.weights[k] * number, stacked.statistics[k] * number)


def test_a_model_of_the_server_broadcasts_over_the_clients():
    stacked, server = random_models(3), random_models(1)[0]
    difference = stacked - server
    for k in range(3):
        assert same(difference[k], stacked.weights[k] - server.weights, stacked.statistics[k] - server.statistics)
    assert same(server.expand(3), server.weights.repeat(3, 1), server.statistics.repeat(3, 1))


def test_dot_and_norm_are_of_the_weights_alone_with_a_number_a_client():
    a, b = random_models(3), random_models(3) * 2.0
    assert torch.allclose(a.dot(b), torch.stack([x @ y for x, y in zip(a.weights, b.weights, strict=True)])[:, None])
    assert torch.allclose(a.norm(), a.dot(a).sqrt())
    assert a.norm().shape == (3, 1) and a[0].norm().shape == (1,)
    shifted = Model(a.weights, a.statistics + 100)
    assert torch.equal(shifted.dot(shifted), a.dot(a)) and torch.equal(shifted.norm(), a.norm())
    unit = a / a.norm()  # (K, P) / (K, 1), the usual way to clip or normalise
    assert torch.allclose(unit.norm(), torch.ones(3, 1, dtype=torch.float64))


def test_sum_and_mean_over_clients():
    stacked, examples = random_models(3), torch.tensor([[1.0], [2.0], [5.0]], dtype=torch.float64)
    assert same(stacked.sum_clients(), stacked.weights.sum(0), stacked.statistics.sum(0))
    assert same(stacked.mean_clients(), stacked.weights.mean(0), stacked.statistics.mean(0))
    weighted = stacked.mean_clients(examples)
    for mean, rows in ((weighted.weights, stacked.weights), (weighted.statistics, stacked.statistics)):
        assert torch.allclose(mean, (1 * rows[0] + 2 * rows[1] + 5 * rows[2]) / 8)


def test_indexing_a_stack_gives_models():
    stacked = random_models(4)
    assert same(stacked[2], stacked.weights[2], stacked.statistics[2])
    assert same(stacked[[3, 0]], stacked.weights[[3, 0]], stacked.statistics[[3, 0]])
    centres = stack([stacked, stacked * 2.0])  # (2, 4, P)
    assert same(centres[:, 1], centres.weights[:, 1], centres.statistics[:, 1])

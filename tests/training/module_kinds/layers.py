"""Layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

from tests.training.module_kinds.case import (
    CLASSES,
    LETTERS,
    WIDTH,
    Case,
    Plain,
    images,
    layer,
    looped,
    mlp,
    signals,
    text,
    vectors,
)


class Spectrum(nn.Module):
    """Magnitudes of the inputs' Fourier coefficients times a complex matrix.

    Args:
        trained: the matrix is a parameter, or else a buffer.
    """

    def __init__(self, trained: bool):
        super().__init__()
        self.out = nn.Linear(CLASSES, CLASSES)
        matrix = torch.randn(WIDTH // 2 + 1, CLASSES, dtype=torch.complex128)
        if trained:
            self.matrix = nn.Parameter(matrix)
        else:
            self.register_buffer("matrix", matrix)

    def forward(self, x: Tensor) -> Tensor:
        return self.out((torch.fft.rfft(x) @ self.matrix).abs())


class Flow(nn.Module):
    """A net whose forward is a function of it and its input."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **parts: nn.Module):
        super().__init__()
        self.flow = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.flow(self, x)


def conv(*between: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), *between, nn.Flatten(), nn.Linear(64, CLASSES))


def signal(*between: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), *between, nn.Flatten(), nn.Linear(24, CLASSES))


def recurrent(kind: Any, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        wide = 4 * (2 if options.get("bidirectional") else 1)
        return Flow(
            lambda self, x: self.head(self.rnn(self.letters(x))[0][:, -1]),
            letters=nn.Embedding(LETTERS, 5),
            rnn=kind(5, 4, batch_first=True, **options),
            head=nn.Linear(wide, CLASSES),
        )

    return make


def cell(kind: Any) -> Callable[[], nn.Module]:
    def flow(self: Any, x: Tensor) -> Tensor:
        state = None
        for at in range(x.shape[1]):
            state = self.cell(self.letters(x[:, at]), state)
        return self.head(state[0] if isinstance(state, tuple) else state)

    return lambda: Flow(flow, letters=nn.Embedding(LETTERS, 5), cell=kind(5, 4), head=nn.Linear(4, CLASSES))


def packed() -> nn.Module:
    def flow(self: Any, x: Tensor) -> Tensor:
        lengths = (x != 0).sum(1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(self.letters(x), lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.rnn(packed)[1][-1])

    return Flow(flow, letters=nn.Embedding(LETTERS, 5), rnn=nn.GRU(5, 4), head=nn.Linear(4, CLASSES))


def embedded(**options: Any) -> Callable[[], nn.Module]:
    return lambda: Flow(
        lambda self, x: self.head(self.letters(x).mean(1)),
        letters=nn.Embedding(LETTERS, 5, **options),
        head=nn.Linear(5, CLASSES),
    )


def bag(**options: Any) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.EmbeddingBag(LETTERS, 5, **options), nn.Linear(5, CLASSES))


def transformer() -> nn.Module:
    def flow(self: Any, x: Tensor) -> Tensor:
        causal = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        h = self.layers(self.letters(x), mask=causal, src_key_padding_mask=x == 0, is_causal=True)
        return self.head(h.mean(1))

    encoder_layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
    layers = nn.TransformerEncoder(encoder_layer, 2, enable_nested_tensor=False)
    return Flow(flow, letters=nn.Embedding(LETTERS, 8, padding_idx=0), layers=layers, head=nn.Linear(8, CLASSES))


def attention() -> nn.Module:
    def flow(self: Any, x: Tensor) -> Tensor:
        h = self.letters(x)
        h, _ = self.attend(h, h, h, key_padding_mask=x == 0, need_weights=True)
        return self.head(h[:, 0])

    attend = nn.MultiheadAttention(8, 2, dropout=0.3, batch_first=True)
    return Flow(flow, letters=nn.Embedding(LETTERS, 8), attend=attend, head=nn.Linear(8, CLASSES))


def scaled() -> nn.Module:
    def flow(self: Any, x: Tensor) -> Tensor:
        q, k, v = self.three(self.letters(x)).chunk(3, -1)
        return self.head(F.scaled_dot_product_attention(q, k, v, dropout_p=0.2, is_causal=True).mean(1))

    return Flow(flow, letters=nn.Embedding(LETTERS, 8), three=nn.Linear(8, 24), head=nn.Linear(8, CLASSES))


def checkpointed(reentrant: bool) -> Callable[[], nn.Module]:
    def flow(self: Any, x: Tensor) -> Tensor:
        return self.head(checkpoint(self.body, self.first(x), use_reentrant=reentrant))

    def make() -> nn.Module:
        body = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.3), nn.Tanh())
        return Flow(flow, first=nn.Linear(WIDTH, 8), body=body, head=nn.Linear(8, CLASSES))

    return make


def tied() -> nn.Module:
    net = Flow(
        lambda self, x: self.head(torch.tanh(self.back(torch.tanh(self.forth(self.first(x)))))),
        first=nn.Linear(WIDTH, 8),
        forth=nn.Linear(8, 8),
        back=nn.Linear(8, 8, bias=False),
        head=nn.Linear(8, CLASSES),
    )
    net.back.weight = net.forth.weight  # type: ignore[union-attr]
    return net


def two_names() -> nn.Module:
    net = mlp(nn.BatchNorm1d(8), nn.ReLU())
    net.head = net[-1]  # type: ignore[index]
    net.norm = net[1]  # type: ignore[index]
    return nn.Sequential(net[0], net.norm, net[2], net.head)  # type: ignore[index, arg-type]


def part_frozen() -> nn.Module:
    net = mlp(nn.Tanh(), nn.Linear(8, 8), nn.Dropout(0.3), nn.BatchNorm1d(8))
    net[2].requires_grad_(False)  # type: ignore[index]
    return net


def part_in_evaluation() -> nn.Module:
    net = mlp(nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Tanh())
    net[1].eval(), net[2].eval()  # type: ignore[index]
    return net


class Momentum(nn.Module):
    """Buffers that are reassigned: a running mean, and an integer counter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return x - self.mean / self.calls


def mixed_types() -> nn.Module:
    net = mlp()
    net[2].double()  # type: ignore[index]
    return Flow(lambda self, x: self.net[2](self.net[:2](x.float()).double()), net=net)


def pruned() -> nn.Module:
    net = mlp()
    prune.l1_unstructured(net[0], "weight", 0.5)  # type: ignore[index]
    return net


def hooked_weight() -> nn.Module:
    net = mlp()
    net[0].weight.register_hook(lambda g: g.clamp(-0.02, 0.02))  # type: ignore[index]
    return net


def hooked_backward() -> nn.Module:
    net = mlp()
    net[2].register_full_backward_hook(lambda m, gi, go: (gi[0] * 0.5,))  # type: ignore[index]
    return net


spectral = nn.utils.parametrizations.spectral_norm
weight_norm = nn.utils.parametrizations.weight_norm

LAYERS: dict[str, Case] = {
    "mlp": layer(mlp),
    "dropout": layer(lambda: mlp(nn.Dropout(0.4), nn.ReLU())),
    "dropout1d": layer(lambda: signal(nn.Dropout1d(0.4)), signals),
    "dropout2d": layer(lambda: conv(nn.Dropout2d(0.4)), images),
    "dropout3d": layer(
        lambda: nn.Sequential(nn.Unflatten(1, (2, 3, 1, 1)), nn.Dropout3d(0.4), nn.Flatten(), mlp()), vectors
    ),
    "alpha dropout": layer(lambda: mlp(nn.SELU(), nn.AlphaDropout(0.3))),
    "feature alpha dropout": layer(lambda: signal(nn.SELU(), nn.FeatureAlphaDropout(0.3)), signals),
    "functional dropout": layer(lambda: Flow(lambda self, x: self.net(F.dropout(x, 0.3, self.training)), net=mlp())),
    "rrelu": layer(lambda: mlp(nn.RReLU())),
    "conv": layer(lambda: conv(nn.Tanh()), images),
    "transformer with dropout and masks": layer(transformer, text),
    "attention with dropout": layer(attention, text),
    "scaled dot product with dropout": layer(scaled, text),
    "lstm": layer(recurrent(nn.LSTM, num_layers=2, dropout=0.3), text),
    "gru": layer(recurrent(nn.GRU), text),
    "rnn": layer(recurrent(nn.RNN, nonlinearity="relu"), text),
    "bidirectional lstm": layer(recurrent(nn.LSTM, bidirectional=True), text),
    "lstm cell": layer(cell(nn.LSTMCell), text),
    "gru cell": layer(cell(nn.GRUCell), text),
    "rnn cell": layer(cell(nn.RNNCell), text),
    "packed sequence": looped(layer(packed, text)),
    "embedding with padding": layer(embedded(padding_idx=0), text),
    "embedding with a largest norm": layer(embedded(max_norm=0.5), text),
    "embedding by frequency": layer(embedded(scale_grad_by_freq=True), text),
    "embedding with sparse gradients": layer(embedded(sparse=True), text),
    "bag of embeddings": layer(bag(mode="mean"), text),
    "bag of embeddings with padding": layer(bag(mode="sum", padding_idx=0), text),
    "batch norm": layer(lambda: mlp(nn.BatchNorm1d(8), nn.ReLU())),
    "batch norm, plain mean": layer(lambda: mlp(nn.BatchNorm1d(8, momentum=None), nn.ReLU())),
    "batch norm, not tracking": layer(lambda: mlp(nn.BatchNorm1d(8, track_running_stats=False), nn.ReLU())),
    "batch norm of images": layer(lambda: conv(nn.BatchNorm2d(4), nn.ReLU()), images),
    "group norm": layer(lambda: conv(nn.GroupNorm(2, 4), nn.ReLU()), images),
    "layer norm": layer(lambda: mlp(nn.LayerNorm(8), nn.GELU())),
    "instance norm": layer(lambda: conv(nn.InstanceNorm2d(4, affine=True, track_running_stats=True)), images),
    "spectral norm": layer(lambda: nn.Sequential(spectral(nn.Linear(WIDTH, 8)), nn.Tanh(), nn.Linear(8, CLASSES))),
    "spectral norm, older": layer(
        lambda: nn.Sequential(nn.utils.spectral_norm(nn.Linear(WIDTH, 8)), nn.Tanh(), nn.Linear(8, CLASSES))
    ),
    "weight norm": layer(lambda: nn.Sequential(weight_norm(nn.Linear(WIDTH, 8)), nn.Tanh(), nn.Linear(8, CLASSES))),
    "weight norm, older": layer(
        lambda: nn.Sequential(nn.utils.weight_norm(nn.Linear(WIDTH, 8)), nn.Tanh(), nn.Linear(8, CLASSES))
    ),
    "pruned weights": layer(pruned),
    "checkpoint": layer(checkpointed(False)),
    "reentrant checkpoint": layer(checkpointed(True)),
    "tied weights": layer(tied),
    "a layer under two names": layer(two_names),
    "a frozen part": layer(part_frozen),
    "a part in evaluation mode": layer(part_in_evaluation),
    "buffers that are reassigned": layer(lambda: mlp(Momentum(), nn.Tanh())),
    "several floating types": Case(
        "one by one", lambda: Plain(mixed_types()), vectors, "several floating types", {"precision": "32-true"}
    ),
    "complex weights": looped(layer(lambda: Spectrum(trained=True)), "complex"),
    "a complex buffer": looped(layer(lambda: Spectrum(trained=False)), "complex"),
    "hook on a weight": looped(layer(hooked_weight), "hook"),
    "backward hook": looped(layer(hooked_backward)),
}

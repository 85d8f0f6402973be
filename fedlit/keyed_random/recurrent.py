"""LSTM, GRU and RNN written out step by step, to replace torch's fused functions.

The fused functions draw the dropout between their layers inside, so it cannot be keyed. vmap has no batching rule for
them, and cuDNN's have no second derivative (`fedlit.torch_patches.recurrent`). A layer's `forward` is left as it is: it
calls `torch.lstm` or the like, and that call is replaced. The written-out form is slower than the fused one and is used
for these three reasons only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fedlit.keyed_random.counter_rng import CounterRng
from fedlit.keyed_random.dropouts import dropout as keyed_dropout
from fedlit.torch_compat import is_batched

State = tuple[Tensor, ...]  # (h,), or (h, c) of an LSTM: each (B, hidden), with proj_size h is (B, proj)
Cell = Callable[[Tensor, State, Tensor, "Tensor | None", "Tensor | None"], State]


# --- cells: one step in time ------------------------------------------------------------------------------------------
# x_part: W_ih x + b_ih, (B, gates * hidden); w_hr: the projection of an LSTM. Formulas as in torch's documentation.
def lstm(x_part: Tensor, state: State, w_hh: Tensor, b_hh: Tensor | None, w_hr: Tensor | None) -> State:
    """i, f, g, o = W_ih x + b_ih + W_hh h + b_hh; c' = sigmoid(f) c + sigmoid(i) tanh(g); h' = sigmoid(o) tanh(c')."""
    h, c = state
    i, f, g, o = (x_part + F.linear(h, w_hh, b_hh)).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if w_hr is None else F.linear(h, w_hr)), c


def gru(x_part: Tensor, state: State, w_hh: Tensor, b_hh: Tensor | None, w_hr: Tensor | None) -> State:
    """r, z = sigmoid(W_ih x + b_ih + W_hh h + b_hh); n = tanh(W_in x + b_in + r (W_hn h + b_hn));
    h' = (1 - z) n + z h."""
    (h,) = state
    (r, z, n), (h_r, h_z, h_n) = x_part.chunk(3, -1), F.linear(h, w_hh, b_hh).chunk(3, -1)
    z = (z + h_z).sigmoid()
    n = (n + (r + h_r).sigmoid() * h_n).tanh()
    return (n + z * (h - n),)


def _plain_rnn(
    activation: Callable[[Tensor], Tensor],
    x_part: Tensor,
    state: State,
    w_hh: Tensor,
    b_hh: Tensor | None,
    w_hr: Tensor | None,
) -> State:
    """h' = activation(W_ih x + b_ih + W_hh h + b_hh)."""
    return (activation(x_part + F.linear(state[0], w_hh, b_hh)),)


tanh_rnn, relu_rnn = partial(_plain_rnn, torch.tanh), partial(_plain_rnn, torch.relu)


# --- layers -----------------------------------------------------------------------------------------------------------
def _through_time(
    cell: Cell, x: Tensor, state: State, weights: Sequence[Tensor], biases: bool, backward: bool
) -> tuple[Tensor, State]:
    """One layer in one direction: (T, B, features) to (T, B, hidden) and the last state."""
    w_ih, w_hh, *rest = weights
    b_ih, b_hh = rest[:2] if biases else (None, None)
    w_hr = rest[-1] if len(rest) > (2 if biases else 0) else None
    x_parts = F.linear(x, w_ih, b_ih)
    hidden = []
    for t in reversed(range(len(x))) if backward else range(len(x)):
        state = cell(x_parts[t], state, w_hh, b_hh, w_hr)
        hidden.append(state[0])
    return torch.stack(hidden[::-1] if backward else hidden), state


def _layers(
    cell: Cell,
    rng: CounterRng,
    x: Tensor,
    states: State,
    weights: Sequence[Tensor],
    biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, ...]:
    """Arguments and results as `torch.lstm`'s.

    Args:
        x: (T, B, features), or (B, T, features) with `batch_first`.
        states: each (layers * directions, B, hidden).
        weights: the tensors of all layers and directions, one after the other.
    """
    directions = 2 if bidirectional else 1
    per_direction = len(weights) // (num_layers * directions)
    x = x.transpose(0, 1) if batch_first else x
    last_states: list[State] = []
    for layer in range(num_layers):
        if layer and train and dropout:
            x = keyed_dropout(rng, x, dropout)
        outputs = []
        for direction in range(directions):
            i = layer * directions + direction
            layer_weights = weights[i * per_direction : (i + 1) * per_direction]
            output, state = _through_time(cell, x, tuple(s[i] for s in states), layer_weights, biases, direction == 1)
            outputs.append(output)
            last_states.append(state)
        x = torch.cat(outputs, -1)
    return (x.transpose(0, 1) if batch_first else x), *(torch.stack(parts) for parts in zip(*last_states, strict=True))


def layer_form(cell: Cell, always: bool) -> Callable[..., Any]:
    """The replacement of `torch.lstm` or the like.

    Args:
        always: also where there is no dropout to key, and torch's function could be called.
    """

    def call(rng: CounterRng, x: Tensor, states: Any, weights: Any, *rest: Any) -> Any:
        if not isinstance(rest[0], bool):  # (data, batch_sizes, states, weights, ...): a packed sequence
            if is_batched(x):
                raise NotImplementedError(
                    "the lengths of a packed sequence differ, and the rows of a stack share shapes"
                )
            return NotImplemented
        _, num_layers, dropout, train, *_ = rest
        if not always and not (dropout and train and num_layers > 1):
            return NotImplemented
        return _layers(cell, rng, x, tuple(states) if isinstance(states, (tuple, list)) else (states,), weights, *rest)

    return call


LAYERS: dict[Any, Cell] = {torch.lstm: lstm, torch.gru: gru, torch.rnn_tanh: tanh_rnn, torch.rnn_relu: relu_rnn}

KEYED_RECURRENT = {function: layer_form(cell, always=False) for function, cell in LAYERS.items()}
"""The written-out layers where they have dropout; torch's own functions elsewhere."""

"""Recurrent layers and cells in their written-out form, whether or not they have dropout.

vmap has no batching rule for the fused functions, and cuDNN's have no second derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fedlit.keyed_random.counter_rng import CounterRng
from fedlit.keyed_random.recurrent import LAYERS, Cell, gru, layer_form, lstm, relu_rnn, tanh_rnn


def _cell_form(cell: Cell) -> Callable[..., Any]:
    """`cell` with the arguments of `torch.lstm_cell` and the like."""

    def call(
        rng: CounterRng,
        x: Tensor,
        state: Any,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None = None,
        b_hh: Tensor | None = None,
    ) -> Any:
        states = tuple(state) if isinstance(state, (tuple, list)) else (state,)
        new_states = cell(F.linear(x, w_ih, b_ih), states, w_hh, b_hh, None)
        return new_states if len(new_states) > 1 else new_states[0]

    return call


_CELLS: dict[Any, Cell] = {
    torch.lstm_cell: lstm,
    torch.gru_cell: gru,
    torch.rnn_tanh_cell: tanh_rnn,
    torch.rnn_relu_cell: relu_rnn,
}

WRITTEN_OUT = {
    **{function: layer_form(cell, always=True) for function, cell in LAYERS.items()},
    **{function: _cell_form(cell) for function, cell in _CELLS.items()},
}

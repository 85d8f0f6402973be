"""The head of a model, named by patterns or known as the layer that runs last."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fedlit.errors import InputError
from fedlit.model_vectors import Layout, Model


def head_positions(layout: Layout, head: str | Sequence[str] | None, if_all: str | None) -> Model:
    """
    Args:
        head: patterns over names (see `Layout.where`); None is the layer that runs last.
        if_all: for the user, where the head may not be the whole model: what that means, and what to write instead.

    Returns:
        The positions of the head: a Model of bools, (P,) and (S,).

    Raises:
        InputError: the layer that runs last is not known, a pattern fits no name, the head holds nothing that is
            trained, or it is the whole model and may not be.
    """
    patterns = layout.last_layer if head is None else head
    if patterns is None:
        raise InputError(
            f"aggregator.head=null: the layer that runs last could not be found (run.log may say why); write a "
            "pattern over the names of the head's parameters, such as "
            f"aggregator.head={next(reversed(layout.weights)).rpartition('.')[0]}"
        )
    try:
        positions = layout.where(patterns)
    except InputError as error:
        raise InputError(f"aggregator.head={patterns}: {error}") from error
    if if_all is not None and bool(positions.weights.all()):
        raise InputError(f"aggregator.head={patterns}: the head is the whole model and {if_all}")
    if not bool(torch.cat([positions.weights, positions.statistics]).any()):
        raise InputError(f"aggregator.head={patterns}: it holds no trained parameter; name a layer that is trained")
    return positions

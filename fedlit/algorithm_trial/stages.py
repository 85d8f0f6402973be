"""The stages of `uplink`: what reaches the server of a client must not depend on the clients beside it in its chunk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from fedlit.aggregators.base import Message
from fedlit.algorithm_trial.comparison import difference
from fedlit.client import Client, ClientState
from fedlit.errors import InputError
from fedlit.messages.pipeline import Pipeline, decoded_wire
from fedlit.messages.reductions import Reduction
from fedlit.messages.sent import Sent
from fedlit.messages.wire import select_rows
from fedlit.model_vectors import tree_map

log = logging.getLogger(__name__)
_SENDS = 2  # a stage that mixes its states shows it in the second message


def check_stages(
    pipeline: Pipeline,
    clients: Callable[[Sequence[int]], Client],
    message: Message,
    states: Sequence[ClientState],
    server: dict[str, Any],
    tolerance: float,
) -> None:
    """Send a message of K clients together, together again, and client by client, and compare what is decoded.

    An exception of a stage is left to the first round, which shows its trace. A stage that gives other numbers on the
    second call is named in a warning: it may encrypt or draw by itself, and then nothing can be compared.

    Args:
        clients: makes the clients of some rows, without a fit.
        message: of the algorithm, (K, ...), with the `states` before it.
        server: what the server keeps of stages and reduction.

    Raises:
        InputError: a client's decoded message depends on the other clients of its chunk.
    """
    if not pipeline.uplink or type(pipeline.reduction).encode is not Reduction.encode:
        return
    everyone = range(len(states))
    names = ", ".join(f"uplink.{name}" for name in pipeline.uplink)

    def decoded(rows: Sequence[int]) -> list[dict[str, Any]]:
        part = tree_map(lambda value: select_rows(value, rows), message)
        return _decoded(pipeline, clients(rows), part, [states[r] for r in rows], server)

    try:
        together, again = decoded(everyone), decoded(everyone)
        alone = [client for r in everyone for client in decoded([r])]
    except InputError:
        raise
    except Exception:
        log.info("%s could not be tried before the run", names, exc_info=True)
        return
    for first, second, single in zip(together, again, alone, strict=True):
        if difference(first, second, tolerance):
            log.warning(
                "%s: a client's message has other numbers when it is sent again, so that a resumed run differs; draw "
                "by client.draw('uniform', 'rounding', like)",
                names,
            )
            return
        if differing := difference(first, single, tolerance):
            raise InputError(
                f"{names}: {next(iter(differing))} of a client's message has other numbers together with other clients "
                "than alone; compute along the last axis with keepdim=True, and take no mean, sum or norm over K."
            )


def _decoded(
    pipeline: Pipeline, client: Client, message: Message, states: Sequence[ClientState], server: dict[str, Any]
) -> list[dict[str, Any]]:
    """K dicts: the wires after `decode`, of each message that is sent."""
    rows: list[dict[str, Any]] = [{} for _ in states]
    states = list(states)
    for number in range(_SENDS):
        sent = pipeline.send(client, message, states, pipeline.broadcast(server))
        chunk = Sent(client.number[:, 0].tolist(), client.round, pipeline.layout)
        kept, forms = decoded_wire(pipeline.uplink, sent.wire, chunk, server["uplink"])
        if len(kept) < len(rows):
            raise RuntimeError("a stage refuses messages of the trial")
        wire = next(reversed(forms.values()), sent.wire)
        for r, row in enumerate(rows):
            row |= {f"{key} (message {number + 1})" if number else key: value[r] for key, value in wire.items()}
        states = [state | {"stages": stages} for state, stages in zip(states, sent.stages, strict=True)]
    return rows

"""The contract of a stage of `uplink`: malicious clients, compression, clipping, seals."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from fedlit.messages.plan import MessagePlan
from fedlit.messages.sent import Sent
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Layout, Model
from fedlit.server_round import ServerRound

Place = Literal["attack", "compress", "limit", "seal", "transit"]


class Stage:
    """Transforms the messages of any algorithm. A run has stages by name, in the order of their `place`.

    `self` holds hyperparameters only. What changes from round to round is a state: one with each client (`state`,
    `encode`), and one on the server (`server_state`, `reduced`).

    `encode` gets the wires of K clients (K, ...), `decode` the wires that arrived. Rows whose lengths differ between
    clients are sent as a list of K tensors, `[row[mask] for ...]`, not padded: every byte is counted, and padding would
    depend on the chunk. `decode` makes tensors (K, ...) of them again. Both get copies and may change them in place.
    They keep clients apart: norms and means are along the last axis.

    What `encode` makes of `key` has names `key.<part>`, so that it is averaged as `key` is. Its floating-point tensors
    are factors of the message: twice these numbers decode to twice the message. (`clip` relies on it. Send the bits of
    other floating-point numbers as integers.)

    A message that is not finite after its stages is refused: its client counts as lost and keeps its states.

    Example, a stage that sends half precision:

    >>> import torch
    >>> class Half(Stage):  # in mine.py, chosen by uplink.half._target_=mine.Half
    ...     decodes = True
    ...
    ...     def encode(self, client, wire, state):
    ...         return {key: value.half() for key, value in wire.items()}, state
    ...
    ...     def decode(self, wire, sent):
    ...         return {key: value.float() for key, value in wire.items()}
    >>> wire, _ = Half().encode(None, {"delta.weights": torch.tensor([[0.1, 0.2]])}, {})
    >>> wire["delta.weights"].dtype, Half().decode(wire, None)["delta.weights"].dtype
    (torch.float16, torch.float32)
    """

    place: ClassVar[Place] = "compress"
    """Where the stage stands among others: attack < compress < limit < seal < transit. A list out of this order is
    refused. In "transit" stands somebody who changes messages on their way."""

    uniform: ClassVar[bool] = False
    """The stage needs all clients to count the same: every key is averaged with uniform weights."""

    decodes: ClassVar[bool] = False
    """The server must decode each message, which is impossible under a blind reduction."""

    adds: ClassVar[tuple[str, ...]] = ()
    """Keys that only the stage adds to a message. They do not pass `unpack`, and `reduced` takes them out."""

    trips: ClassVar[int] = 1
    """Messages of a client in one round. A stage of several trips is the last of `uplink`, and only means of its
    messages are known: see `ask`, `answer` and `means`."""

    # --- before the run ---------------------------------------------------------------------------
    @property
    def needs(self) -> tuple[str, ...]:
        """Keys of the message that the stage works on; a run whose algorithm does not send them is refused."""
        return ()

    def setup(self, layout: Layout, clients: int) -> None:
        """Called once, before any other method, to read positions and sizes from the module's layout."""

    def check(self, plan: MessagePlan) -> None:
        """Called once, before any work.

        Raises:
            InputError: the stage cannot go together with something of the run.
        """

    def bound(self, norm: float | None) -> float | None:
        """The largest Euclidean norm of all model vectors of a message that leave the stage.

        Args:
            norm: the largest norm of what enters; None: there is no bound.
        """
        return None

    # --- the client's half ------------------------------------------------------------------------
    def state(self, client: StageClient, wire: Wire) -> dict[str, Any]:
        """The initial states (K, ...) of K clients. A state is stored with its client from round to round, under the
        stage's name."""
        return {}

    def encode(self, client: StageClient, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        """The encoded wire and the new states, both (K, ...)."""
        return wire, state

    def answer(self, client: StageClient, received: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        """The client's message of a later trip, and its new states.

        Args:
            received: what `ask` gave, without axis K.
            state: what the trip before left.
        """
        raise NotImplementedError

    # --- the server's half ------------------------------------------------------------------------
    def server_state(self, model: Model) -> dict[str, Any]:
        """What the server keeps for the stage, before the first round; it is in the checkpoint."""
        return {}

    def broadcast(self, server: dict[str, Any]) -> Wire:
        """What of it every client of the round receives, as `client.received`; its bytes are counted."""
        return {}

    def decode(self, wire: Wire, sent: Sent) -> Wire:
        """The wire before `encode`, as exactly as possible. `sent.refuse(rows, why)` refuses messages."""
        return wire

    def ask(self, means: list[Wire], server: dict[str, Any]) -> Wire:
        """What every client receives for the next trip, after `len(means)` trips whose mean messages are given, without
        axis K."""
        raise NotImplementedError

    def means(self, means: list[Wire], server: dict[str, Any]) -> Wire:
        """Under several trips, in place of `decode`: the mean message before `encode`, from the mean of each trip."""
        raise NotImplementedError

    def reduced(
        self, reduced: Wire, server: dict[str, Any], round: ServerRound
    ) -> tuple[Wire, dict[str, Any], dict[str, float]]:
        """After the reduction of a round.

        Args:
            reduced: the reduced message, without axis K; with the keys that only the stage has added.

        Returns:
            The message for the algorithm, the server's new state of the stage, and numbers for the row of metrics,
            which get the names `uplink/<stage>/<name>`.
        """
        return reduced, server, {}

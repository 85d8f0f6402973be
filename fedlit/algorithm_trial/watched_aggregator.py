"""A copy of an algorithm whose calls are checked: arguments stay as they are, results fit the contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fedlit.aggregators import Aggregator
from fedlit.aggregators.base import Message, State
from fedlit.algorithm_trial import returned_values as check
from fedlit.algorithm_trial.comparison import difference
from fedlit.algorithm_trial.kept_values import KeptValues
from fedlit.algorithm_trial.trees import Entries, MissingKey, Picture, cloned, tensors
from fedlit.algorithm_trial.watched_client import WatchedClient
from fedlit.client import Client
from fedlit.errors import InputError
from fedlit.global_generators import generator_states
from fedlit.messages.wire import Wire, flatten_message, select_rows
from fedlit.model_vectors import Layout, Model, tree_map, unstack
from fedlit.server_round import ServerRound

_RECEIVED = "received, from broadcast and download,"

_ROUNDING = 1e-2  # relative, of numbers of any type

_KEYED_DRAWS = {
    "setup": "draw from numpy.random.default_rng(0) or after torch.manual_seed(0), or another seed",
    "server_state": "draw from the rng that it gets, by generator=rng",
    "client_state": "draw in local_update, by client.draw('normal', 'start', like)",
    "local_update": "draw by client.draw('normal', 'noise', like)",
    "personal": "draw by client.draw('normal', 'noise', like)",
    "server_update": "draw from round.generator('noise')",
}


class WatchedAggregator(Aggregator):
    """
    Args:
        inner: the copy. `setup` is called here.
        layout, clients: for `setup`.
        averages: the run's reduction takes means.
        by_pieces: see `WatchedClient`.

    Attributes:
        touched: what the algorithm changed outside of its states, and in which method.
        results: a message and a new state for each client of `local_update`, in order of the calls.
        models: what `personal` returned for each, likewise.
        watched: method -> the client of its last call.
        keys: of the messages, unpacked, with the paths into their dicts.
        reads_server_lr: `download` or `server_update` has read `ServerRound.server_lr_factor`.
    """

    def __init__(self, inner: Aggregator, layout: Layout, clients: int, averages: bool, by_pieces: bool = False):
        self.inner, self.layout, self.averages, self.by_pieces = inner, layout, averages, by_pieces
        self.name = type(inner).__name__
        self.touched: dict[str, str] = {}
        self.settled = False  # from now on calls are repeated, and nothing but a state changes
        self.results: list[tuple[Message, State]] = []
        self.keys: set[str] = set()
        self.reads_server_lr = False
        self.models: list[Model] = []
        self.watched: dict[str, WatchedClient] = {}
        self.initial: State = {}
        self._server_model: Any = None
        self._kept: KeptValues | None = None
        self._call("setup", [], layout, clients)
        self._kept = KeptValues(inner)

    def __str__(self) -> str:
        return str(self.inner)

    def is_default(self, method: str) -> bool:
        """Whether the algorithm does not override a method."""
        return getattr(type(self.inner), method) is getattr(Aggregator, method)

    # --- one call ----------------------------------------------------------------------------------
    def _call(self, method: str, sources: Sequence[tuple[str, Any]], *more: Any, first: Any = None) -> Any:
        """The result of a method.

        Args:
            sources: (name, value) of the arguments that are trees; the method gets copies.
            more: further arguments, after them.
            first: the argument before them, a client.
        """
        copies = {name: cloned(value, share_large=True) for name, value in sources}
        given = [
            (name, path, tensor, Picture(tensor)) for name, v in copies.items() for path, tensor in tensors(v).items()
        ]
        arguments = [Entries(n, v) if type(v) is dict else v for n, v in copies.items()]
        states, seed = generator_states(), torch.initial_seed()
        try:
            result = getattr(self.inner, method)(*([] if first is None else [first]), *arguments, *more)
        except MissingKey as error:
            raise InputError(self._missing(method, error)) from error
        except AttributeError as error:
            for round in (value for value in more if isinstance(value, ServerRound)):
                round.refuse_missing_data(f"{self.name}.{method}", error)
            raise
        self._check_draws(method, states, seeds_itself=torch.initial_seed() != seed)
        for name, path, tensor, before in given:
            if before.differs_from(tensor):
                raise InputError(
                    f"{self.name}.{method} changes {path or 'a tensor'} of {name.split(',')[0]} in place; make a new "
                    "tensor, such as x * 0.9 in place of x.mul_(0.9)."
                )
        self._check_kept(method)
        return _plain(result)

    def _missing(self, method: str, error: MissingKey) -> str:
        where = f"{self.name}.{method}"
        keys = f"it has {', '.join(error.keys)}" if error.keys else "it is empty"
        if self.is_default(method):
            return (
                f"{where} is the default, which reads {error.key!r} of {error.source} and {keys}; write {method}, or "
                f"keep {error.key!r}."
            )
        return (
            f"{where} reads {error.key!r} of {error.source} and {keys}; return {error.key!r} where this dict is made."
        )

    def _check_draws(self, method: str, before: Any, seeds_itself: bool) -> None:
        """Refuse draws from global generators, but not those after a `torch.manual_seed` of the method."""
        after = generator_states()
        if after[1:] == before[1:] and (seeds_itself or after[0] == before[0]):
            return
        kind = "Python" if after[3] != before[3] else "numpy" if after[1:] != before[1:] else "torch"
        advice = _KEYED_DRAWS.get(method, "draw in server_update, from round.generator('noise'), and keep the numbers")
        raise InputError(
            f"{self.name}.{method} draws from {kind}'s global random generator, so that its numbers depend on the "
            f"order of work and change when a run is resumed; {advice}."
        )

    def _check_kept(self, method: str) -> None:
        if self._kept is None:  # in `setup`
            return
        for name in self._kept.changed():
            self.touched.setdefault(name, method)
            if self.settled:
                raise InputError(self.kept_sentence(name))

    def kept_sentence(self, name: str) -> str:
        """The sentence for a value that is kept outside of the states."""
        return (
            f"{self.name}.{self.touched[name]} keeps numbers in {name}, which a resumed run loses and workers do not "
            "share; keep them in the client's state (client_state, local_update) or in the server's (server_state, "
            "server_update)."
        )

    # --- the contract ----------------------------------------------------------------------------------
    def server_state(self, model: Model, rng: torch.Generator) -> State:
        state = self._call("server_state", [("the model", model)], rng)
        check.check_dict(f"{self.name}.server_state: its result", state, "the server's state, such as {'model': model}")
        check.check_saved(f"{self.name}.server_state", state)
        return state

    def client_state(self, model: Model) -> State:
        self.initial = self._call("client_state", [("the model", model)])
        check.check_tensors(f"{self.name}.client_state: its result", self.initial)
        return self.initial

    def broadcast(self, server: State) -> State:
        self._server_model = server.get("model")
        sent = self._call("broadcast", [("the server's state", server)])
        check.check_tensors(f"{self.name}.broadcast: its result", sent, example="what all clients receive, such as {}")
        return sent

    def download(self, server: State, clients: Tensor, round: ServerRound) -> State:
        seen = _copied(round)
        sent = self._call("download", [("the server's state", server)], clients.clone(), seen)
        self.reads_server_lr |= seen.server_lr_was_read
        where = f"{self.name}.download: its result"
        check.check_tensors(where, sent, len(clients), "what each client receives, (K, ...), such as {}")
        return sent

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        watched = WatchedClient(f"{self.name}.local_update", client, self.layout, self.by_pieces)
        self.watched["local_update"] = watched
        sources = [(_RECEIVED, received), ("the client's state", state)]
        returned = self._call("local_update", sources, first=watched)
        where, k = f"{self.name}.local_update", len(client.examples)
        check.check_pair(where, returned)
        message, new_state = returned
        check.check_tensors(f"{where}: the message", message, k, "the pair of message and state, message a dict")
        check.check_state_like(f"{where}: the state", new_state, self.initial, k)
        self._check_unused(message, new_state, watched.fits)
        if self.is_default("server_update") and message and self.is_default("unpack"):
            check.check_default_delta(self.name, message, self._server_model)
        if not torch.equal(watched.examples, client.examples) or not torch.equal(watched.number, client.number):
            raise InputError(f"{where} changes client.examples or client.number in place; make a new tensor.")
        self.results += zip(unstack(message, k), unstack(new_state, k), strict=True)
        return message, new_state

    def _check_unused(self, message: Message, state: State, fits: int) -> None:
        if fits and not message and not state and self.is_default("personal"):
            raise InputError(
                f"{self.name}.local_update trains and then sends nothing and keeps nothing, so that no model changes; "
                "send the change of the model, such as {'delta': client.fit(x).model - x}."
            )

    def unpack(self, message: Message, round: ServerRound) -> Message:
        k = next((len(t) for t in tensors(message).values()), None)
        unpacked = self._call("unpack", [("the message", message)], _copied(round))
        where = f"{self.name}.{'local_update' if self.is_default('unpack') else 'unpack'}: the message"
        check.check_tensors(where, unpacked, k, "the messages as they are reduced")
        if self.averages:
            check.check_averaged(where, unpacked, self.inner.weighting)
        self.keys |= unpacked.keys() | _paths(flatten_message(unpacked))
        is_of_a_chunk = isinstance(round, ServerRound) and len(round.arrived) == k
        if k is not None and is_of_a_chunk and not self.is_default("unpack"):
            self._check_unpacked_alone(message, round, unstack(unpacked, k))
        return unpacked

    def _check_unpacked_alone(self, message: Message, round: ServerRound, together: Sequence[Message]) -> None:
        for r, row in enumerate(together):
            alone = tree_map(lambda value, r=r: select_rows(value, [r]), message)
            unpacked = self._call(
                "unpack", [("the message", alone)], replace(_copied(round), arrived=[round.arrived[r]])
            )
            if differing := difference(row, unstack(unpacked, 1)[0], _ROUNDING):
                raise InputError(
                    f"{self.name}.unpack gives {next(iter(differing))} of a client other numbers together with other "
                    "clients than alone; compute along the last axis with keepdim=True, and use what concerns all "
                    "clients, such as len(round.arrived), in server_update."
                )

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        sources = [("the server's state", server), ("the reduced message", reduced)]
        seen = _copied(round)
        state = self._call("server_update", sources, seen)
        self.reads_server_lr |= seen.server_lr_was_read
        where = f"{self.name}.server_update"
        check.check_dict(f"{where}: its result", state, "the new server state, such as {**server, 'model': model}")
        check.check_saved(where, state)
        return state

    def personal(self, client: Client, received: State, state: State) -> Model:
        watched = WatchedClient(f"{self.name}.personal", client, self.layout, self.by_pieces)
        self.watched["personal"] = watched
        sources = [(_RECEIVED, received), ("the client's state", state)]
        model = self._call("personal", sources, first=watched)
        check.check_model(f"{self.name}.personal: its result", model, self.layout, len(client.examples))
        self.models += unstack(model.expand(len(client.examples)), len(client.examples))
        return model

    def global_model(self, server: State) -> Model | None:
        model = self._call("global_model", [("the server's state", server)])
        if model is not None:
            check.check_model(f"{self.name}.global_model: its result", model, self.layout, None)
        return model


def _paths(wire: Wire) -> set[str]:
    """The keys of a wire and their beginnings: parts.a.weights, parts.a, parts."""
    words = [key.split(".") for key in wire]
    return {".".join(path[:n]) for path in words for n in range(1, len(path) + 1)}


def _copied(round: ServerRound) -> ServerRound:
    if not isinstance(round, ServerRound):  # `unpack` under a blind reduction
        return replace(round)
    return replace(round, broadcast=cloned(round.broadcast, share_large=True), arrived=list(round.arrived))


def _plain(value: Any) -> Any:
    """The value with plain dicts in place of `Entries`."""
    if isinstance(value, Entries):
        return {key: _plain(inner) for key, inner in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_plain(inner) for inner in value)
    if type(value) is dict:
        return {key: _plain(inner) for key, inner in value.items()}
    return value

"""Results of another type or shape, or without a key that another method reads."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch

from fedlit.model_vectors import Model, tree_map
from tests.algorithm_trial.mistakes.noted import mistake
from tests.algorithm_trial.small_algorithm import Up, fedavg


@mistake(r"server_update keeps n, a numpy\.float64, .*\.item\(\)")
class NumpyScalar(Up):
    def server_update(self, server, reduced, round):
        return {**super().server_update(server, reduced, round), "n": np.float64(3)}


@mistake(r"server_state keeps n, a numpy\.ndarray.*torch\.from_numpy")
class NumpyInState(Up):
    def server_state(self, model, rng):
        return {"model": model, "n": np.zeros(3)}


@mistake("keeps n, an object")
class ObjState(Up):
    def server_state(self, model, rng):
        return {"model": model, "n": object()}


@mistake(r"keeps n\[0\], a Model.*a dict of Models")
class ListModels(Up):
    def server_state(self, model, rng):
        return {"model": model, "n": [model, model]}


@mistake("keeps n, a defaultdict, .*another form")
class DefaultDict(Up):
    def server_state(self, model, rng):
        return {"model": model, "n": defaultdict(int)}


@mistake("a tuple of 3, not the pair")
class Triple(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received), state, 1


@mistake("returns None, not the pair")
class ReturnsNone(Up):
    def local_update(self, client, received, state):
        fedavg(client, received)


@mistake("the message is a list, not a dict")
class MessageList(Up):
    def local_update(self, client, received, state):
        return [1], state


@mistake(r"l of shape \(\), and its first axis")
class MessageScalar(Up):
    def local_update(self, client, received, state):
        return {**fedavg(client, received), "l": client.loss(received["model"]).mean()}, state


@mistake("first axis")
class NoAxis(Up):
    def local_update(self, client, received, state):
        return {"delta": fedavg(client, received)["delta"][0]}, state


@mistake("needs a Model")
class DeltaTensor(Up):
    def local_update(self, client, received, state):
        return {"delta": fedavg(client, received)["delta"].weights}, state


@mistake(r"a\.b, an int; write torch\.full_like")
class NestedFloat(Up):
    def local_update(self, client, received, state):
        return {**fedavg(client, received), "a": {"b": 1}}, state


@mistake(r"n of shape \(1,\) for each client, and client_state gives \(\)")
class StateShape(Up):
    def client_state(self, model):
        return {"n": torch.zeros(())}

    def local_update(self, client, received, state):
        return fedavg(client, received), {"n": client.examples}


@mistake("does not have 'm'")
class StateDrops(Up):
    def client_state(self, model):
        return {"n": torch.zeros(1), "m": torch.zeros(1)}

    def local_update(self, client, received, state):
        return fedavg(client, received), {"n": state["n"]}


@mistake(r"has 'n\.b'")
class StateTree(Up):
    def client_state(self, model):
        return {"n": {"a": torch.zeros(1)}}

    def local_update(self, client, received, state):
        return fedavg(client, received), {"n": {"b": state["n"]["a"]}}


@mistake("global_model: its result")
class ServerModelK(Up):
    needs_all = True

    def server_update(self, server, reduced, round):
        return {"model": server["model"] + reduced["delta"]}


@mistake("broadcast is the default, which reads 'model'")
class LostModel(Up):
    def server_update(self, server, reduced, round):
        return {"x": server["model"] + reduced["delta"]}


@mistake("broadcast is the default")
class NoModel(Up):
    def server_state(self, model, rng):
        return {"w": model}


@mistake("reads 'c' of received")
class ReadsC(Up):
    def local_update(self, client, received, state):
        received["c"]
        return fedavg(client, received), state


@mistake("reads 'c' of the client's state")
class ReadsState(Up):
    def local_update(self, client, received, state):
        state["c"]
        return fedavg(client, received), state


@mistake("reads 'c' of the reduced message and it has delta")
class ReadsReduced(Up):
    def server_update(self, server, reduced, round):
        reduced["c"]
        return server


@mistake(r"download: its result has c of shape \(3,\), and its first axis has to be the \d client")
class DownWithoutClients(Up):
    def download(self, server, clients, round):
        return {"c": torch.zeros(3)}


@mistake("download: its result is None")
class DownNone(Up):
    def download(self, server, clients, round):
        pass


@mistake("broadcast: its result is None")
class BroadNone(Up):
    def broadcast(self, server):
        pass


@mistake("broadcast: its result is a Model")
class BroadModel(Up):
    def broadcast(self, server):
        return server["model"]


@mistake("personal: its result is a tensor")
class PersonalWeights(Up):
    def personal(self, client, received, state):
        return received["model"].weights


@mistake("personal: its result is a Model")
class PersonalRow(Up):
    def personal(self, client, received, state):
        return Model(received["model"].weights[:, :5], received["model"].statistics)


@mistake("q of type uint8")
class SmallIntegers(Up):
    def local_update(self, client, received, state):
        return {**fedavg(client, received), "q": client.number.to(torch.uint8)}, state


@mistake("no 'delta'")
class NoDelta(Up):
    def local_update(self, client, received, state):
        return {"model": client.fit(received["model"]).model}, state


@mistake(r"n, a float; write torch\.full_like\(client\.examples, 3\.0\)")
class Number(Up):
    def local_update(self, client, received, state):
        return {**fedavg(client, received), "n": 3.0}, state


@mistake("returns a dict, not the pair")
class ForgotState(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received)


@mistake("the state is None, not a dict")
class StateNone(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received), None


@mistake("client_state: its result has rounds, an int")
class StateNumber(Up):
    def client_state(self, model):
        return {"rounds": 0}


@mistake("broadcast: its result has groups, a list")
class ServerListDown(Up):
    def server_state(self, model, rng):
        return {"model": model, "groups": [[0, 1], [2]]}

    def broadcast(self, server):
        return server


@mistake("server_samples=<number>")
class NeedsServer(Up):
    def server_update(self, server, reduced, round):
        return {"model": round.server_client.fit(server["model"]).model}


@mistake("server_update: its result is None")
class ServerUpdateNone(Up):
    def server_update(self, server, reduced, round):
        server["model"] = server["model"] + reduced["delta"]


@mistake("sends nothing and keeps nothing")
class EmptyMessage(Up):
    def local_update(self, client, received, state):
        client.fit(received["model"])
        return {}, state


@mistake("global_model: its result")
class GlobalRow(Up):
    def global_model(self, server):
        return tree_map(lambda t: t[None], server["model"])


@mistake("flag of type bool")
class MessageBool(Up):
    def local_update(self, client, received, state):
        return {**fedavg(client, received), "flag": client.examples > 5}, state


@mistake("has 'previous")
class StateGrows(Up):
    def local_update(self, client, received, state):
        message = fedavg(client, received)
        return message, {"previous": message["delta"]}


@mistake(r"lag, a numpy\.ndarray")
class ServerNumpy(Up):
    def server_update(self, server, reduced, round):
        return {"model": server["model"] + reduced["delta"], "lag": round.generator("lag").integers(0, 3, 8)}


@mistake("fits no name")
class PatternFitsNothing(Up):
    def setup(self, layout, clients):
        self.top = layout.where("nowhere")

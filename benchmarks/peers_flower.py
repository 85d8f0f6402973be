"""Flower as a contender: `python -m benchmarks.peers_flower FILE THREADS`, in the environment `.venv-flower`.

Flower's own ClientApp, strategy and messages. The ClientApp is called in this process, one client after the other, as
an actor of Flower's simulation calls it. This measures Flower without Ray: the times to start actors and to send
messages to them are left out, in Flower's favour. The client trains with the same plain loop as `bare`.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable
from typing import Any

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from flwr.supercore.task_identity import TaskIdentity

from benchmarks.bare import Bare
from benchmarks.contender_process import serve
from benchmarks.workloads import load


class InProcess:
    """In place of Flower's Grid: the nodes of a round; passes messages to the ClientApp one by one."""

    def __init__(self, app: ClientApp, nodes: int):
        self.app, self.cohort = app, [0]
        self.contexts = [Context(0, node, {}, RecordDict(), {}) for node in range(nodes)]

    def get_node_ids(self) -> Iterable[int]:
        return self.cohort

    def send_and_receive(self, messages: Iterable[Message]) -> list[Message]:
        return [self.app(message, self.contexts[message.metadata.dst_node_id - 1]) for message in messages]


def client_app(bare: Bare) -> ClientApp:
    """A client as in Flower's guide for PyTorch, with the model reused."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        number = int(message.content["config"]["server-round"])
        bare.network.load_state_dict(message.content["arrays"].to_torch_state_dict())
        loss, steps = bare.train(number, context.node_id)
        metrics = {"loss": loss, "steps": steps, "num-examples": len(bare.task.shard(context.node_id))}
        arrays = ArrayRecord(bare.network.state_dict())
        return Message(RecordDict({"arrays": arrays, "metrics": MetricRecord(metrics)}), reply_to=message)

    return app


def main(file: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    logging.getLogger("flwr").setLevel(logging.WARNING)
    # Flower sets these when it starts a ServerApp
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    task = load(file)
    bare = Bare(task)
    grid = InProcess(client_app(bare), task.workload.clients)
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1)
    arrays = ArrayRecord(bare.network.state_dict())

    def play(number: int) -> dict[str, Any]:
        nonlocal arrays
        begin = time.perf_counter()
        grid.cohort = [client + 1 for client in task.cohort(number)]  # node 0 is the server
        messages = strategy.configure_train(number, arrays, ConfigRecord(), grid)
        replies = grid.send_and_receive(messages)
        mean, metrics = strategy.aggregate_train(number, replies)
        assert mean is not None and metrics is not None
        arrays = mean
        seconds = time.perf_counter() - begin
        steps = sum(int(reply.content["metrics"]["steps"]) for reply in replies)
        return {"seconds": seconds, "loss": float(metrics["loss"]), "steps": steps}

    serve(play)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The defaults learn: federated averaging of the default model on the embedded digits, in plain torch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from fedlit.models import Logistic, Mlp
from fedlit.partitions import Dirichlet, Labelled
from fedlit.randomness import generator


@pytest.mark.parametrize("model", [Mlp, Logistic])
def test_twenty_rounds_on_ten_skewed_clients_reach_the_accuracy(model: type):
    x, y = load_digits(return_X_y=True)
    x = torch.as_tensor((x - x.mean()) / x.std(), dtype=torch.float32).reshape(-1, 1, 8, 8)
    y = torch.as_tensor(y)
    order = np.random.default_rng(0).permutation(len(x))
    test, train = order[:360], order[360:]
    x_train, y_train = x[train], y[train]
    labels = y_train.numpy()
    shards = Dirichlet(alpha=0.5).train(Labelled(len(train), labels, 10), 10, generator(0))
    torch.manual_seed(0)
    server, rng = model((1, 8, 8), 10), np.random.default_rng(0)
    for _ in range(20):
        mean = [torch.zeros_like(p) for p in server.parameters()]
        for k in range(10):
            client = copy.deepcopy(server)
            optimizer = torch.optim.SGD(client.parameters(), lr=0.1)  # conf/optimizer/sgd.yaml
            for batch in torch.as_tensor(rng.permutation(shards[k])).split(32):
                optimizer.zero_grad()
                client.training_step((x_train[batch], y_train[batch]), 0).backward()
                optimizer.step()
            for total, p in zip(mean, client.parameters(), strict=True):
                total += p.detach() * len(shards[k]) / len(train)
        for p, value in zip(server.parameters(), mean, strict=True):
            p.data = value
    with torch.no_grad():
        accuracy = (server(x[test]).argmax(1) == y[test]).float().mean()
    assert accuracy > 0.9

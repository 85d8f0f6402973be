"""A toy protocol: means of all columns, round after round, and a cipher that hides by a key stream."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from fedlit.stop import Stop
from fedlit.vertical.alignment import Alignment
from fedlit.vertical.ciphers.base import Cipher
from fedlit.vertical.engine import Plan
from fedlit.vertical.party import Party, Recv, Sealed, Send
from fedlit.vertical.party_data import GUEST, PartyData
from fedlit.vertical.protocol import Protocol


@dataclass(frozen=True)
class Stream(Cipher):
    name: ClassVar[str] = "stream"


@dataclass(frozen=True)
class Open(Cipher):
    name: ClassVar[str] = "plain"
    hides: ClassVar[bool] = False


def seal(values: np.ndarray, key: bytes | None) -> Sealed | np.ndarray:
    if key is None:
        return values
    blobs = []
    for value in values.ravel():
        nonce = os.urandom(8)
        blobs.append(nonce + xor(value.tobytes(), nonce, key))
    return Sealed(tuple(blobs), values.shape)


def opened(part: Sealed | np.ndarray, key: bytes | None) -> np.ndarray:
    if key is None:
        return part
    values = [np.frombuffer(xor(blob[8:], blob[:8], key))[0] for blob in part.blobs]
    return np.array(values).reshape(part.shape)


def xor(content: bytes, nonce: bytes, key: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(content, hashlib.sha256(nonce + key).digest(), strict=False))


class Guest(Party):
    def __init__(self, protocol: Means, data: PartyData, hosts: Sequence[str], hides: bool):
        self.protocol, self.data, self.hosts = protocol, data, hosts
        self.key = os.urandom(16) if hides else None

    def setup(self, state):
        for host in self.hosts:
            yield Send(host, "key", {"bytes": np.frombuffer(self.key or b"", np.uint8)})
        return state or {"sums": torch.zeros(self.data.train.shape[1], dtype=torch.float64), "rounds": []}, {"keys": 1}

    def round(self, state, number):
        if self.protocol.stop_at == number:
            raise Stop("enough")
        column_means = [self.data.train.mean(0)]
        for host in self.hosts:
            message = yield Recv(host, "means")
            column_means.append(opened(message["values"], self.key))
        for host in self.hosts:
            yield Send(host, "thanks", {"sum": np.array([message_sum(column_means)])})
        grown = state["sums"] + number * torch.from_numpy(column_means[0])
        state["rounds"].append(number)  # of its copy
        return {"sums": grown, "rounds": state["rounds"], "mean": message_sum(column_means)}, {"hosts": len(self.hosts)}

    def predict(self, state, number):
        if self.protocol.stop_predicting_at == number:
            raise Stop("good enough")
        errors = self.data.test_target - state["mean"] / (1 + number)
        return state, {"r2": float(1 - errors.var()), "mse": float((errors**2).mean()), "rows": len(errors)}


class Host(Party):
    def __init__(self, protocol: Means, name: str, data: PartyData):
        self.protocol, self.name, self.data = protocol, name, data

    def setup(self, state):
        message = yield Recv(GUEST, "key")
        self.key = message["bytes"].tobytes() or None
        return state or {"heard": 0.0}, {}

    def round(self, state, number):
        if (self.name, number) == self.protocol.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.protocol.talks:
            logging.getLogger("toy").warning("%s warns in round %d", self.name, number)
            warnings.warn("a warning of Python's", stacklevel=1)
        if (self.name, number) == self.protocol.raises:
            raise KeyError("a bug")
        yield Send(GUEST, "means", {"values": seal(number * self.data.train.mean(0), self.key)})
        if self.protocol.leaks:
            yield Send(GUEST, "means", {"leak": self.data.train})
        message = yield Recv(GUEST, "thanks")
        return {"heard": state["heard"] + message["sum"][0].item()}, {"columns": len(self.data.columns)}
        yield


def message_sum(column_means: Sequence[np.ndarray]) -> float:
    return float(sum(means.sum() for means in column_means))


@dataclass(frozen=True)
class Means(Protocol):
    stop_at: int | None = None
    killed: tuple[str, int] | None = None
    raises: tuple[str, int] | None = None
    leaks: bool = False
    talks: bool = False
    stop_predicting_at: int | None = None

    tasks = ("regression",)
    clear: ClassVar[Mapping[str, str]] = {"key.bytes": "the toy has no other way", "thanks.sum": "a sum over columns"}
    measures: ClassVar = {"regression": ("r2", "mse")}

    def party(self, name, data, hosts, cipher, task):
        return Guest(self, data, hosts, cipher.hides) if name == GUEST else Host(self, name, data)


class Ordered(Alignment):
    """An alignment: by id, among those that all have."""

    name: ClassVar[str] = "ordered"
    clear: ClassVar = {"ids.train": "a toy", "ids.test": "a toy"}

    def align(self, data: PartyData, others: Sequence[str]):
        for other in others:
            yield Send(other, "ids", {"train": numbers(data.train_ids), "test": numbers(data.test_ids)})
        train, test = set(numbers(data.train_ids)), set(numbers(data.test_ids))
        for other in others:
            message = yield Recv(other, "ids")
            train &= set(message["train"])
            test &= set(message["test"])
        return data.rows(places(data.train_ids, train), places(data.test_ids, test))


def numbers(ids: np.ndarray) -> np.ndarray:
    return np.array([int(text[1:]) for text in ids])


def places(ids: np.ndarray, shared: set[int]) -> np.ndarray:
    return np.array([place for _, place in sorted((n, p) for p, n in enumerate(numbers(ids)) if n in shared)], int)


def party_data(name: str, columns: int, seed: int) -> PartyData:
    draws = np.random.default_rng(seed)
    ids, test_ids = draws.permutation(40)[:30], 100 + draws.permutation(12)[:10]
    target = {"train_target": draws.normal(size=30), "test_target": draws.normal(size=10)} if name == GUEST else {}
    return PartyData(
        name,
        tuple(f"{name}_{number}" for number in range(columns)),
        draws.normal(size=(30, columns)),
        draws.normal(size=(10, columns)),
        np.array([f"p{i}" for i in ids]),
        np.array([f"p{i}" for i in test_ids]),
        **target,
    )


def toy_data(hosts: Sequence[str] = ("host",)) -> dict[str, PartyData]:
    return {name: party_data(name, 3 - place % 2, place) for place, name in enumerate((GUEST, *hosts))}


def toy_plan(protocol: Protocol | None = None, cipher: Cipher | None = None, hosts: Sequence[str] = ("host",)) -> Plan:
    return Plan(protocol or Means(), cipher or Stream(), Ordered(), tuple(hosts), "regression")


def started(engine, protocol=None, cipher=None, hosts=("host",)):
    """The engine with the toy in it."""
    plan = toy_plan(protocol, cipher, hosts)
    engine.start(plan, toy_data(hosts), plan.ledger())
    return engine

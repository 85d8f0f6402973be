"""What one client needs for one round: small and picklable, without model, module or server state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from fedlit.data import RoundTransform, Samples, Transform
from fedlit.data.fit_data_module import CannotBeSent
from fedlit.randomness import keyed_words
from fedlit.round import Round

Split = Literal["train", "validation", "test", "public"]
_NONE = np.empty(0, dtype=np.int64)


@dataclass
class JobData:
    """The samples that the jobs' indices refer to, and the transform of a batch on its way to the module."""

    train: Samples  # training and validation parts of the shards
    test: Samples  # the clients' local tests (the training set itself where they are cut from the shards)
    transform: Transform | None = None
    epochs: int = 12  # local epochs of a fit, as far as they are known before the run
    no_validation: str = ""  # why a client cannot validate in its fit, with the remedy; empty where each can
    users: Any = None  # the user's data module, or other object, that the samples came from
    poison: RoundTransform | None = None  # changes the training samples of malicious clients, after `transform`

    def poison_of(self, split: Split, round_number: int) -> Transform | None:
        """What malicious clients do to their samples of a part in a round; None: nothing."""
        return None if self.poison is None or split != "train" else self.poison.in_round(round_number)

    def samples(self, split: Split) -> Samples:
        return self.test if split == "test" else self.train

    def without_users(self, error: Exception) -> JobData:
        """These samples, where the user's data module cannot be pickled: `error` says why."""
        return replace(self, users=CannotBeSent(type(self.users).__name__, f"{type(error).__name__}: {error}"))


@dataclass
class Job:
    client: int
    round: Round
    batch_size: int
    epochs: int
    train: np.ndarray  # (n,) its samples in the training set
    validation: np.ndarray = field(default_factory=lambda: _NONE)  # (v,) its validation samples, in the training set
    test: np.ndarray = field(default_factory=lambda: _NONE)  # (t,) its test samples, in the set of local tests
    public: np.ndarray = field(default_factory=lambda: _NONE)  # (p,) samples in the training set that all see
    updates: int | None = None  # batches of a fit, in place of epochs (see `fit_plan.UpdatesPlan`)

    def indices(self, split: Split) -> np.ndarray:
        return {"train": self.train, "validation": self.validation, "test": self.test, "public": self.public}[split]

    def owner(self, split: Split) -> int:
        """The client of these samples, for transforms; -1 is none: public samples are the same for all clients."""
        return -1 if split == "public" else self.client

    def batches(self, call: int, epoch: int, drop_single: bool, lasting: bool = False) -> list[np.ndarray]:
        """The epoch's batches of the round's `call`-th fit, in a keyed order. The last one may be smaller.

        Args:
            drop_single: leave out a last batch of one sample (batch normalisation cannot train on one).
            lasting: see `sample_order`.
        """
        samples = sample_order([self], call, epoch, lasting).samples
        batches = [samples[i : i + self.batch_size] for i in range(0, len(samples), self.batch_size)]
        return batches[:-1] if drop_single and batches and len(batches[-1]) == 1 < self.batch_size else batches

    def validation_batches(self) -> list[np.ndarray]:
        """The batches of a validation pass: the validation samples in their order."""
        return [self.validation[i : i + self.batch_size] for i in range(0, len(self.validation), self.batch_size)]

    def key(self, *purpose: str | int) -> int:
        """A 62-bit number that keys the draws of this client in this round for a purpose."""
        return int(self.round.generator(*purpose, self.client).integers(2**62))

    def draw(self, kind: Literal["normal", "uniform"], what: str, call: int, shape: Sequence[int]) -> np.ndarray:
        """Random numbers of this shape."""
        rng = self.round.generator("draw", what, self.client, call)
        return np.asarray(rng.standard_normal(shape) if kind == "normal" else rng.random(shape))


@dataclass
class SampleOrder:
    """The samples of several clients, each client's in the order of an epoch."""

    samples: np.ndarray  # (N,) the clients' samples, one client after the other
    starts: np.ndarray  # (K,) the position of each client's first sample

    def batch(self, rows: slice | np.ndarray, begin: int | np.ndarray, size: int) -> np.ndarray:
        """(n, size) samples of some clients, from their `begin`-th sample on."""
        return self.samples[(self.starts[rows] + begin)[:, None] + np.arange(size)]


def sample_order(jobs: Sequence[Job], call: int, epoch: int | np.ndarray, lasting: bool = False) -> SampleOrder:
    """The order in which each client goes through its training samples, in an epoch of the round's `call`-th fit.

    A client's order does not depend on the other clients in `jobs`: its samples are sorted by keyed random words. All
    clients are drawn at once, because a generator a client costs more than the training step of a small client.

    Args:
        epoch: number of the epoch; (K,) where clients differ in it.
        lasting: epochs are numbered over all rounds, so that an epoch may begin in one round and end in another.
    """
    sizes = np.array([len(job.train) for job in jobs])
    stream_of = jobs[0].round.lasting_stream if lasting else jobs[0].round.stream
    if isinstance(epoch, int):
        stream = np.array(stream_of("batches", call, epoch), dtype=np.uint64)
    else:
        streams = {number: stream_of("batches", call, number) for number in set(epoch.tolist())}
        stream = np.array([streams[number] for number in epoch.tolist()], dtype=np.uint64)
    client_keys = keyed_words(stream, np.array([job.client for job in jobs], dtype=np.int64).astype(np.uint64))
    starts = np.cumsum(sizes) - sizes
    row_of = np.repeat(np.arange(len(jobs)), sizes)
    within = np.arange(len(row_of)) - np.repeat(starts, sizes)
    words = keyed_words(client_keys[row_of], within.astype(np.uint64))
    # one sort key for both: the row, then the word's upper bits
    positions = np.argsort((row_of.astype(np.uint64) << np.uint64(40)) | (words >> np.uint64(24)), kind="stable")
    return SampleOrder(np.concatenate([job.train for job in jobs])[positions], starts)

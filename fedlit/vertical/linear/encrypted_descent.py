"""Gradient descent on columns of several parties, encrypted: what linear and logistic regression have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlit.errors import InputError
from fedlit.vertical.ciphers.base import Cipher
from fedlit.vertical.ciphers.plain import Plain
from fedlit.vertical.linear.coordinator import Coordinator
from fedlit.vertical.linear.descent import Descent
from fedlit.vertical.linear.guest import Guest
from fedlit.vertical.linear.holder import COORDINATOR
from fedlit.vertical.linear.host import Host
from fedlit.vertical.linear.standardised import standardised
from fedlit.vertical.measures import measures
from fedlit.vertical.party import Facts, Party
from fedlit.vertical.party_data import GUEST, PartyData
from fedlit.vertical.protocol import Protocol, Task

LEAST_BITS = 256  # 80 fractional bits, scores below 2^40, and sums over people; keys of ciphers are longer


@dataclass(frozen=True)
class EncryptedDescent(Protocol):
    """One step of full-batch gradient descent a round, on columns that each party has standardised for itself, with an
    intercept at the guest. Mean and deviation are those of the training rows; a missing value counts as the mean.

    With the scores u_ip = w_p x_ip of person i by party p, and t_i and a constant a by the loss, a round is

    1. host A:          [[a u_A]] -> guest
    2. guest B:         [[d]] = [[a u_A + a u_B - t]] -> each host, and with one host [[loss]] -> coordinator C
    3. A and B:         [[X' d + R]] of its columns and with its random R -> C
    4. C:               opens X' d + R -> the party, which takes R off and steps: w <- w - lr (X' d / N + l2 w)

    where [[ ]] is encrypted with C's public key. R is uniform modulo n, so C sees uniform numbers (`ou` and `ckks` have
    masks that are much larger than the number instead: `WholeVectors`, `RealVectors`). Numbers have 40 fractional bits:
    weights are those of plaintext gradient descent within 1e-9; under `cipher=ckks` within 1e-5.

    What each party learns, if all follow the steps: C learns the loss of each round (nothing with several hosts). A
    and B learn their weights, and so the D numbers X' d about N residuals d in each round. A host with as many columns
    as people could solve for all residuals, and one with fewer columns for a part of them after some rounds: use many
    more people than columns. The guest gets each host's part of the score of each test person. C must not conspire with
    a party, because its key opens all.

    Args:
        lr: of a step.
        l2: of the squared weights, without the intercept.
    """

    clear: ClassVar[Mapping[str, str]] = {
        "public_key.key": "a public key: it encrypts and does not decrypt",
        "opened_gradient.values": "a gradient plus its party's random mask, which this party alone can take off",
        "partial_scores.values": "the guest adds them up; with one host it could take its own part off the sum as well",
    }
    helpers: ClassVar[tuple[str, ...]] = (COORDINATOR,)
    curvature: ClassVar[float]
    constant: ClassVar[float]

    lr: float = 0.1
    l2: float = 0.0

    @abstractmethod
    def targets(self, target: np.ndarray) -> np.ndarray:
        """t of the training people, (N,), by their target."""

    @abstractmethod
    def predictions(self, target: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """
        Args:
            target: of the training people, (N,).
            scores: sum_p u_p of the test people, (M,).

        Returns:
            what `measures` takes.
        """

    def party(self, name: str, data: PartyData | None, hosts: Sequence[str], cipher: Cipher, task: Task) -> Party:
        with_loss = len(hosts) == 1
        if data is None:
            return Coordinator(cipher, (GUEST, *hosts), with_loss)
        descent = Descent(self.curvature, self.constant, self.lr, self.l2)
        train, test = standardised(data.train, data.test)
        if name != GUEST:
            return Host(descent, cipher, train, test, with_loss)
        target, test_target = data.train_target, data.test_target
        assert target is not None and test_target is not None

        def measured(scores: np.ndarray) -> Facts:
            return measures(task, test_target, self.predictions(target, scores))

        return Guest(descent, cipher, train, test, self.targets(target), measured, hosts)

    def check(self, task: Task, columns: Mapping[str, Sequence[str]], cipher: Cipher) -> None:
        if not self.lr > 0:
            raise InputError(f"protocol.lr={self.lr:g} is no step; write a number above 0, such as 0.1.")
        if not self.l2 >= 0:
            raise InputError(f"protocol.l2={self.l2:g} is negative; write 0 or more.")
        if isinstance(cipher, Plain) and cipher.bits < LEAST_BITS:
            raise InputError(
                f"cipher.bits={cipher.bits} is too few for sums of products of two numbers with 40 fractional bits; "
                f"write {LEAST_BITS} or more."
            )

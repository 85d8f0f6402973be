"""Data and oracles of the linear protocols: plaintext gradient descent in numpy."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes

from fedlit.vertical.ciphers import Cipher, Ckks, Ou, Paillier, Plain
from fedlit.vertical.party_data import PartyData
from tests.vertical.stepping import Stepped, columns_of

CIPHERS: dict[str, Cipher] = {
    "plain": Plain(bits=512),
    "paillier": Paillier(bits=256, insecure=True),
    "ou": Ou(bits=1024),
    "ckks": Ckks(),
}
PRECISION = {"plain": 1e-9, "paillier": 1e-9, "ou": 1e-9, "ckks": 1e-5}


def diabetes(*splits: tuple[str, int, int], rows: int = 442) -> dict[str, PartyData]:
    """The guest has the target and the last five columns; hosts have those from a position to another."""
    data = load_diabetes(scaled=False)
    columns, target = data.data[:rows].astype(float), data.target[:rows].astype(float)
    guest = columns_of("guest", columns[:, 5:], target=target)
    return {"guest": guest} | {name: columns_of(name, columns[:, low:high]) for name, low, high in splits}


def breast_cancer(rows: int = 120) -> dict[str, PartyData]:
    """The guest has the label and the last 25 columns, the host the first 5."""
    data = load_breast_cancer()
    columns, target = data.data[:rows], data.target[:rows].astype(float)
    return {
        "guest": columns_of("guest", columns[:, 5:], target=target),
        "host": columns_of("host", columns[:, :5]),
    }


def joined(data: dict[str, PartyData]) -> np.ndarray:
    """The standardised columns: those of the guest, the intercept, those of the hosts."""
    blocks = [(x - x.mean(0)) / x.std(0) for x in (party.train for party in data.values())]
    return np.column_stack([blocks[0], np.ones(len(blocks[0])), *blocks[1:]])


def weights(stepped: Stepped) -> np.ndarray:
    """In the order of `joined`."""
    return np.concatenate([stepped.state(name)["weights"].numpy() for name in stepped.data])


def least_squares_descent(
    x: np.ndarray, y: np.ndarray, steps: int, lr: float, l2: np.ndarray | float = 0
) -> np.ndarray:
    """w <- w - lr (X' (X w - t) / N + l2 w) from 0, where t is y with mean 0 and deviation 1."""
    t = (y - y.mean()) / y.std()
    w = np.zeros(x.shape[1])
    for _ in range(steps):
        w = w - lr * (x.T @ (x @ w - t) / len(t) + l2 * w)
    return w


def taylor_descent(x: np.ndarray, labels: np.ndarray, steps: int, lr: float, l2: np.ndarray | float = 0) -> np.ndarray:
    """Gradient descent on log 2 - y u / 2 + u^2 / 8 with y = -1 or 1; the gradient of each term by hand."""
    y = np.where(labels == 1, 1.0, -1.0)
    w = np.zeros(x.shape[1])
    for _ in range(steps):
        slope = -y / 2 + (x @ w) / 4
        w = w - lr * ((x * slope[:, None]).mean(0) + l2 * w)
    return w

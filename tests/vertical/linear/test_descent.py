"""Encrypted gradient descent is plaintext gradient descent on the joined columns."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score, roc_auc_score

from fedlit.errors import InputError
from fedlit.vertical.ciphers import Cipher, Ckks, Paillier, Plain
from fedlit.vertical.linear import LinearHe, LogisticHe
from fedlit.vertical.linear.standardised import standardised
from fedlit.vertical.party_data import PartyData
from tests.vertical.linear.descents import (
    CIPHERS,
    PRECISION,
    breast_cancer,
    diabetes,
    joined,
    least_squares_descent,
    taylor_descent,
    weights,
)
from tests.vertical.stepping import Stepped, columns_of

ONE, TWO = [("host", 0, 5)], [("left", 0, 2), ("right", 2, 5)]


def skip_without(cipher: str) -> None:
    if cipher == "ou":
        pytest.importorskip("heu", reason="sf-heu has no release for this Python")


def test_diabetes_has_the_published_figures() -> None:
    """All 442 rows, 30 steps of lr .1: the guest alone .365, with the host's columns .513, least squares .518."""
    data = diabetes(*ONE)
    both, alone = Stepped(LinearHe(), Plain(), data), Stepped(LinearHe(), Plain(), {"guest": data["guest"]})
    both.rounds(30)
    alone.rounds(30)
    assert both.predict()["r2"] == pytest.approx(0.513, abs=5e-4)
    assert alone.predict()["r2"] == pytest.approx(0.365, abs=5e-4)
    x, y = joined(data), data["guest"].train_target
    assert LinearRegression().fit(x, y).score(x, y) == pytest.approx(0.518, abs=5e-4)
    assert both.predict()["r2"] == pytest.approx(
        r2_score(y, y.mean() + y.std() * (x @ least_squares_descent(x, y, 30, 0.1))), abs=1e-12
    )


@pytest.mark.parametrize("cipher", CIPHERS)
def test_linear_regression_is_numpys(cipher: str) -> None:
    skip_without(cipher)
    rounds = 30 if cipher == "plain" else 6
    data = diabetes(*ONE, rows=442 if cipher == "plain" else 150)
    stepped = Stepped(LinearHe(), CIPHERS[cipher], data)
    stepped.rounds(rounds)
    expected = least_squares_descent(joined(data), data["guest"].train_target, rounds, 0.1)
    assert np.abs(weights(stepped) - expected).max() < PRECISION[cipher]


@pytest.mark.slow
@pytest.mark.parametrize(("cipher", "precision"), [(Paillier(), 1e-9), (Ckks(), 1e-5)])
def test_diabetes_with_long_keys(cipher: Cipher, precision: float) -> None:
    data = diabetes(*ONE)
    stepped = Stepped(LinearHe(), cipher, data)
    stepped.rounds(30)
    expected = least_squares_descent(joined(data), data["guest"].train_target, 30, 0.1)
    assert np.abs(weights(stepped) - expected).max() < precision
    assert stepped.predict()["r2"] == pytest.approx(0.513, abs=5e-4)


@pytest.mark.parametrize("cipher", ["plain", "paillier", "ckks"])
def test_logistic_regression_is_numpys(cipher: str) -> None:
    data, penalty = breast_cancer(), np.where(np.arange(31) == 25, 0, 0.02)
    stepped = Stepped(LogisticHe(lr=0.3, l2=0.02), CIPHERS[cipher], data, "binary")
    stepped.rounds(3)
    x, y = joined(data), data["guest"].train_target
    expected = taylor_descent(x, y, 3, 0.3, penalty)
    assert np.abs(weights(stepped) - expected).max() < PRECISION[cipher]
    measured = stepped.predict()
    assert measured["auc"] == pytest.approx(roc_auc_score(y, x @ expected), abs=1e-9)
    assert measured["accuracy"] == ((x @ expected > 0) == (y == 1)).mean()
    assert set(measured) == set(LogisticHe.measures["binary"])


@pytest.mark.parametrize("cipher", ["plain", "paillier", "ckks"])
def test_two_hosts_are_one(cipher: str) -> None:
    data = diabetes(*TWO, rows=60)
    stepped = Stepped(LinearHe(lr=0.2, l2=0.1), CIPHERS[cipher], data)
    end = stepped.rounds(3)
    penalty = np.where(np.arange(11) == 5, 0, 0.1)
    expected = least_squares_descent(joined(data), data["guest"].train_target, 3, 0.2, penalty)
    assert np.abs(weights(stepped) - expected).max() < PRECISION[cipher]
    assert end.facts["coordinator"] == {}, "no loss with several hosts"


@pytest.mark.parametrize(("cipher", "alone"), [("plain", True), ("plain", False), ("paillier", False), ("ckks", False)])
def test_the_loss_is_that_of_all_columns(cipher: str, alone: bool) -> None:
    data = diabetes(*([] if alone else ONE), rows=80)
    x, y = joined(data), data["guest"].train_target
    penalised = np.arange(x.shape[1]) != 5
    stepped = Stepped(LinearHe(lr=0.2, l2=0.3), CIPHERS[cipher], data)
    for number in range(3):
        w = least_squares_descent(x, y, number, 0.2, 0.3 * penalised)
        expected = (((x @ w) - (y - y.mean()) / y.std()) ** 2).mean() / 2 + 0.15 * (w[penalised] ** 2).sum()
        facts = stepped.round().facts["guest" if alone else "coordinator"]
        assert facts["loss"] == pytest.approx(expected, abs=PRECISION[cipher])


@pytest.mark.parametrize("cipher", ["plain", "ckks"])
def test_the_logistic_loss_is_its_taylor_polynomial(cipher: str) -> None:
    data = breast_cancer()
    stepped = Stepped(LogisticHe(lr=0.3), CIPHERS[cipher], data, "binary")
    stepped.rounds(2)
    x, y = joined(data), np.where(data["guest"].train_target == 1, 1, -1)
    u = x @ taylor_descent(x, y, 2, 0.3)
    loss = (np.log(2) - y * u / 2 + u**2 / 8).mean()
    assert stepped.round().facts["coordinator"]["loss"] == pytest.approx(loss, abs=PRECISION[cipher])


@pytest.mark.parametrize("protocol", [LinearHe(), LogisticHe()])
@pytest.mark.parametrize("cipher", ["plain", "paillier", "ou"])
def test_a_round_run_twice_gives_the_same_bits_under_every_cipher(protocol: LinearHe, cipher: str) -> None:
    skip_without(cipher)
    task = protocol.tasks[0]
    data = diabetes(*TWO, rows=30) if task == "regression" else breast_cancer(30)
    reference, stepped = Stepped(protocol, Plain(), data, task), Stepped(protocol, CIPHERS[cipher], data, task)
    for number in (1, 2):
        first = stepped.engine.phase("round", number, stepped.states)
        second = stepped.engine.phase("round", number, stepped.states)
        assert first.states == second.states and first.facts == second.facts
        stepped.states, plain = first.states, reference.round()
        assert plain.states == first.states and plain.facts == first.facts
    assert stepped.predict() == reference.predict()


def test_a_resumed_run_has_new_keys_and_the_same_weights() -> None:
    data = diabetes(*ONE, rows=30)
    through, broken = (Stepped(LinearHe(), CIPHERS["paillier"], data) for _ in range(2))
    broken.round()
    resumed = Stepped(LinearHe(), CIPHERS["paillier"], data)
    resumed.states = resumed.engine.phase("setup", 1, broken.states).states
    resumed.number = 1
    assert resumed.states == broken.states
    through.rounds(2)
    resumed.round()
    assert np.array_equal(weights(through), weights(resumed))


def test_predictions_are_of_the_test_people() -> None:
    """Standardised by the means of the training people."""
    rng = np.random.default_rng(3)
    columns, noise = rng.normal(size=(50, 4)) * 3 + 7, rng.normal(size=50)
    y, test = columns @ [1.0, -2, 0.5, 3] + noise, np.arange(40, 50)

    def party(name: str, low: int, high: int, target: np.ndarray | None = None) -> PartyData:
        held = columns_of(name, columns[:, low:high], target=target, test_rows=test)
        return held.rows(np.arange(40), np.arange(10))

    data = {"guest": party("guest", 2, 4, y), "host": party("host", 0, 2)}
    stepped = Stepped(LinearHe(lr=0.5), Plain(), data)
    stepped.rounds(60)
    prediction = LinearRegression().fit(columns[:40], y[:40]).predict(columns[40:])
    measured = stepped.predict()
    assert measured["r2"] == pytest.approx(r2_score(y[40:], prediction), abs=1e-6)
    assert measured["mse"] == pytest.approx(((y[40:] - prediction) ** 2).mean(), rel=1e-6)
    assert set(measured) == set(LinearHe.measures["regression"])


def test_standardised_columns() -> None:
    train = np.array([[1.0, 5, np.nan], [3, 5, 4], [8, 5, 6], [np.nan, 5, np.nan]])
    test = np.array([[np.nan, 5.1, 5.0], [4, np.nan, 7]])
    x, z = standardised(train, test)
    assert np.allclose(x[:3, 0], (train[:3, 0] - 4) / train[:3, 0].std()) and x[3, 0] == 0
    assert np.array_equal(x[:, 1], np.zeros(4)) and np.array_equal(z[:, 1], np.zeros(2))
    assert np.allclose(x[:, 2], [0, -1, 1, 0]) and np.allclose(z[:, 2], [0, 2]) and np.allclose(z[:, 0], 0)
    assert np.array_equal(standardised(np.full((3, 1), np.nan), np.ones((1, 1)))[0], np.zeros((3, 1)))


@pytest.mark.parametrize("cipher", ["plain", "ckks"])
def test_weights_that_grow_without_bound_end_the_run(cipher: str) -> None:
    stepped = Stepped(LinearHe(lr=1000.0), CIPHERS[cipher], diabetes(*ONE, rows=30))
    with pytest.raises(InputError, match=r"the weights grow in every round: write a smaller protocol\.lr"):
        stepped.rounds(20)


def test_bad_options_are_refused() -> None:
    columns = {"guest": ["a"], "host": ["b"]}
    LinearHe().check("regression", columns, Plain())
    with pytest.raises(InputError, match=r"protocol\.lr=0 is no step"):
        LinearHe(lr=0.0).check("regression", columns, Plain())
    with pytest.raises(InputError, match=r"protocol\.l2=-1 is negative"):
        LogisticHe(l2=-1.0).check("binary", columns, Plain())
    with pytest.raises(InputError, match=r"cipher\.bits=128 is too few for sums .* write 256 or more"):
        LinearHe().check("regression", columns, Plain(bits=128))

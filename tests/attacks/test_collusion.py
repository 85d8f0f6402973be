"""Messages on which malicious clients agree, against the papers in numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fedlit.attacks import Alie, CollusiveAttack, Gaussian, InnerProductManipulation, Mimic, MinMax, MinSum
from fedlit.attacks.alie import supported_deviation
from fedlit.errors import InputError
from fedlit.messages.reductions import All, Mean, Reduced, Reduction
from fedlit.randomness import generator
from fedlit.server_round import ServerRound
from tests.attacks.messages import MODELS, joint, passed_on, ready, reduced, wire_of
from tests.oracles.attacks import alie, distance_bound, ipm, mimic

BAD = [1, 4, 6]
CHUNKS = [[5, 1, 0], [4], [3, 2], [6, 7, 9, 8]]  # rows 1, 3 and 6 are malicious
COHORT = [client for chunk in CHUNKS for client in chunk]
ROWS = [COHORT.index(client) for client in BAD]
HONEST = [row for row in range(len(COHORT)) if row not in ROWS]
Sent = Callable[..., np.ndarray]

CASES: list[tuple[type[CollusiveAttack], Sent, dict[str, Any]]] = [
    (Alie, alie.sent, {}),
    (Alie, alie.sent, {"z": 1.5}),
    (InnerProductManipulation, ipm.sent, {}),
    (InnerProductManipulation, ipm.sent, {"epsilon": 100.0}),
    *((MinMax, distance_bound.minmax, {"direction": direction}) for direction in ("std", "unit", "sign")),
    *((MinSum, distance_bound.minsum, {"direction": direction}) for direction in ("std", "unit", "sign")),
]


@pytest.mark.parametrize("knowledge", ["all", "colluders"])
@pytest.mark.parametrize(("kind", "oracle", "options"), CASES)
def test_malicious_clients_send_what_the_paper_says(
    kind: type[CollusiveAttack], oracle: Sent, options: dict[str, Any], knowledge: Any
) -> None:
    wire, _ = passed_on(ready(kind(BAD, knowledge=knowledge, **options)), CHUNKS)
    honest = wire_of(COHORT)
    known = joint(honest, HONEST if knowledge == "all" else sorted(ROWS))
    expected = oracle(known, len(COHORT), len(BAD), **options)
    np.testing.assert_allclose(joint(wire, ROWS), np.stack([expected] * 3), rtol=1e-7, atol=1e-7)
    for key, value in wire.items():
        rows = HONEST if key in MODELS else range(len(COHORT))
        if key in honest:
            assert torch.equal(value[list(rows)], honest[key][list(rows)]), key


@pytest.mark.parametrize(("n", "f", "z"), [(50, 10, 0.2533), (50, 12, 0.3360), (10, 2, 0.0), (3, 1, 0.0)])
def test_the_deviation_is_the_quantile_of_the_supporters(n: int, f: int, z: float) -> None:
    """n = 50 and f = 10: s = 16 supporters, and Phi^-1(24 / 40) = 0.2533."""
    assert abs(supported_deviation(n, f) - z) < 5e-5
    assert abs(supported_deviation(n, f) - alie.z_max(n, f)) < 1e-9


@pytest.mark.parametrize(("n", "f"), [(5, 3), (4, 3), (2, 1), (10, 10), (3, 3)])
def test_a_malicious_majority_has_a_finite_deviation(n: int, f: int) -> None:
    assert n == f or np.isfinite(supported_deviation(n, f))


@pytest.mark.parametrize("direction", ["std", "unit", "sign"])
def test_min_max_and_min_sum_reach_their_bounds_and_stay_within(direction: Any) -> None:
    known = joint(wire_of(COHORT), HONEST)
    between = np.array([distance_bound.squares(known, m) for m in known])
    for kind, own, bound in (
        (MinMax, np.max, between.max()),
        (MinSum, np.sum, between.sum(1).max()),
    ):
        wire, _ = passed_on(ready(kind(BAD, direction=direction)), CHUNKS)
        value = own(distance_bound.squares(known, joint(wire, ROWS)[0]))
        assert bound * (1 - 1e-9) < value <= bound * (1 + 1e-12)


def test_equal_messages_leave_no_room_for_a_deviation() -> None:
    for kind in (MinMax, MinSum):
        attack = ready(kind(BAD, direction="std"))
        collector = attack.collusion(All()).start({}, _round())
        same = torch.ones(len(COHORT), 4)
        collector.add(COHORT, {"delta.weights": same, "delta.statistics": same[:, :0]}, same[:, :1])
        assert torch.equal(collector.finish().message["delta"].weights, same)


def _round() -> ServerRound:
    return ServerRound(1, 0, COHORT, 12)


@pytest.mark.parametrize("warmup", [1, 3])
def test_mimic_sends_the_message_of_one_honest_client(warmup: int) -> None:
    """In the fifth round the mimicked client does not arrive."""
    attack = ready(Mimic(BAD, warmup=warmup))
    z = generator(0, "train", 1, "attack", "mimic").standard_normal(15)
    state: dict[str, Any] | None = None
    sent, rounds = [], []
    for number in range(1, 6):
        cohort = [c for c in COHORT if number < 5 or state is None or c != int(state["attack"]["client"])]
        wire, result = passed_on(attack, [cohort[:4], cohort[4:]], number, state)
        state = result.state
        honest = wire_of(cohort, number)
        rounds.append({c: joint(honest, [r])[0] for r, c in enumerate(cohort) if c not in BAD})
        sent.append(joint(wire, [cohort.index(BAD[0])])[0])
    expected = mimic.sent(rounds, z, warmup)
    for number, (message, of_paper) in enumerate(zip(sent, expected, strict=True), 1):
        np.testing.assert_array_equal(message, of_paper, err_msg=f"round {number}")


def test_noise_by_the_median_norm_of_the_known_messages() -> None:
    for knowledge, rows in (("all", HONEST), ("colluders", ROWS)):
        attack = ready(Gaussian(BAD, knowledge=knowledge, scale=7.0))
        assert attack.stage() is None
        wire, _ = passed_on(attack, CHUNKS)
        for key in MODELS:
            unit = np.median(np.linalg.norm(wire_of(COHORT)[key][rows].numpy(), axis=1)) / np.sqrt(5)
            noise = [generator(0, "train", 1, "attack", "noise", key, client).standard_normal(5) for client in BAD]
            np.testing.assert_allclose(wire[key][ROWS].numpy(), 7.0 * unit * np.stack(noise), rtol=1e-12)
    assert Gaussian(BAD).collusion(mean := Mean()) is mean


@pytest.mark.parametrize(
    "attack", [Alie(BAD, z=0.0), InnerProductManipulation(BAD, epsilon=-1.0)], ids=["z=0", "epsilon=-1"]
)
def test_limits_at_which_the_honest_mean_is_sent(attack: CollusiveAttack) -> None:
    """The mean of all messages is then that of the honest ones."""
    result = reduced(ready(attack).collusion(Mean()), CHUNKS)
    expected = wire_of(COHORT)["delta.weights"][HONEST].mean(0)
    torch.testing.assert_close(result.message["delta"].weights, expected)


@pytest.mark.parametrize("attack", [Alie([10, 11]), Alie(BAD, rounds=[2]), Alie(0)], ids=["asked", "round", "nobody"])
def test_without_an_attack_the_bits_are_those_of_the_reduction_alone(attack: CollusiveAttack) -> None:
    plain = reduced(Mean(), CHUNKS)
    around = reduced(ready(attack).collusion(Mean()), CHUNKS)
    assert torch.equal(around.message["delta"].weights, plain.message["delta"].weights)
    assert torch.equal(around.message["steps"], plain.message["steps"])


def test_messages_depend_on_no_chunk() -> None:
    one, _ = passed_on(ready(MinMax(BAD)), [COHORT])
    many, _ = passed_on(ready(MinMax(BAD)), [[client] for client in COHORT])
    assert all(torch.equal(one[key], many[key]) for key in one)


class Counting(Reduction):
    """Counts its rounds, and excludes its first client."""

    weighs_by_messages = True

    def server_state(self, model: Any) -> dict[str, Any]:
        return {"rounds": 0}

    def begin(self) -> None:
        self.clients: list[int] = []

    def add(self, clients: list[int], wire: Any, examples: Any) -> None:
        self.clients += clients

    def finish(self) -> Reduced:
        state = {"rounds": self.state["rounds"] + 1}
        return Reduced({"x": torch.ones(1)}, state, {"clients": float(len(self.clients))}, self.clients[:1])


def test_the_state_and_the_report_of_the_inner_reduction_are_kept() -> None:
    around = ready(Mimic(BAD)).collusion(Counting())
    assert around.single and around.weighs_by_messages and not around.hands_over
    model: Any = None
    state = around.server_state(model)
    for number in (1, 2):
        result = reduced(around, CHUNKS, number, state)
        state = result.state or {}
    assert state["inner"] == {"rounds": 2} and state["attack"]["t"] == 2
    assert result.report == {"clients": 10.0} and result.excluded == [5]


def test_mimic_without_a_round_to_choose_in_is_refused() -> None:
    with pytest.raises(InputError, match="attack.warmup=0: the client to mimic is found in a round; write 1 or more"):
        Mimic(warmup=0)


def test_what_colluders_cannot_know_is_refused() -> None:
    class Blind(Mean):
        blind = True

    with pytest.raises(InputError, match="attack.knowledge=colluders: client 3 is the only malicious one"):
        ready(Alie([3], knowledge="colluders"))
    with pytest.raises(InputError, match="attack: under Blind nobody sees the clients' own messages"):
        ready(Alie(BAD)).collusion(Blind())


def test_a_client_that_is_malicious_alone_in_a_round_is_named_in_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    passed_on(ready(Alie([1, 11], knowledge="colluders")), CHUNKS)
    assert "a round had one malicious client, and Alie knows its own message only" in caplog.text

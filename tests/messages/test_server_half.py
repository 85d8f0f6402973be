"""What the server keeps for stages and reductions: over rounds, in checkpoints, on its way to clients and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fedlit.aggregators import FedAvg
from fedlit.errors import InputError
from fedlit.messages.composition import check_order, check_plan, norm_bound
from fedlit.messages.plan import MessagePlan
from fedlit.messages.reductions import Mean, Reduced
from fedlit.messages.stages import Stage
from fedlit.model_vectors import Model
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests import small_runs
from tests.aggregators.federations import SIZES, Listed, Running
from tests.small_runs import numbers, rows, same_bits, saved

ROUNDS = [[0, 2], [1, 2, 3], [0, 1]]


class Counts(Stage):
    """The server counts the messages of all rounds; each client learns the number and scales by it."""

    def server_state(self, model: Model) -> dict[str, Any]:
        return {"messages": torch.zeros((), dtype=torch.float64)}

    def broadcast(self, server: dict[str, Any]) -> dict[str, Any]:
        return {"messages": server["messages"]}

    def encode(self, client: Any, wire: Any, state: dict[str, Any]) -> Any:
        client.note("received", client.received["messages"].expand(len(client.number)))
        return wire | {
            "counts.mine": torch.ones_like(client.examples),
            "delta.weights": 0.5 * wire["delta.weights"],
        }, {}

    def reduced(self, reduced: Any, server: dict[str, Any], round: Any) -> Any:
        assert float(reduced.pop("counts.mine")) == 1.0  # a mean
        after = {"messages": server["messages"] + len(round.arrived)}
        return reduced, after, {"messages": float(after["messages"])}


class Momentum(Mean):
    """Keeps the mean of the last round and adds half of it."""

    def server_state(self, model: Model) -> dict[str, Any]:
        return {"last": model * 0.0}

    def finish(self) -> Reduced:
        message = super().finish().message
        total = message["delta"] + self.state["last"] * 0.5
        norm = float(total.weights.norm())
        return Reduced(message | {"delta": total}, {"last": total}, {"norm": norm}, excluded=[7])


class Reports(FedAvg):
    def server_update(self, server: Any, reduced: Any, round: Any) -> Any:
        round.report("messages", torch.tensor(float(len(round.arrived))))
        return super().server_update(server, reduced, round)


TRAINERS: list[Any] = [(LightningTrainer, {}), (VectorizedTrainer, {"stack": "always"})]


@pytest.mark.parametrize(("kind", "options"), TRAINERS, ids=["lightning", "one stack"])
def test_the_servers_half_of_a_stage_keeps_a_state_tells_clients_and_reports(
    kind: Any, options: dict[str, Any], tmp_path: Path
) -> None:
    run = Running(tmp_path, Reports(), Listed(*ROUNDS), kind=kind, uplink={"counts": Counts()}, **options).go(3)
    totals = [2, 5, 7]
    assert [row["uplink/counts/messages"] for row in run.rows] == totals
    assert [row["uplink/counts/received"] for row in run.rows] == [0, *totals[:-1]]
    assert [row["algorithm/messages"] for row in run.rows] == [2, 3, 2]
    plain = Running(tmp_path, FedAvg(), Listed(*ROUNDS), kind=kind, **options).go(1)
    first = Running(tmp_path, FedAvg(), Listed(*ROUNDS), kind=kind, uplink={"counts": Counts()}, **options).go(1)
    torch.testing.assert_close(first.weights - first.start.weights, 0.5 * (plain.weights - plain.start.weights))
    assert [a["comm/bytes_down"] - b["comm/bytes_down"] for a, b in zip(first.rows, plain.rows, strict=True)] == [16]
    assert [a["comm/bytes_up"] - b["comm/bytes_up"] for a, b in zip(first.rows, plain.rows, strict=True)] == [16]


def test_a_reduction_gets_its_state_and_gives_the_new_one(tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Listed(*ROUNDS), reduction=Momentum())
    total = torch.zeros_like(run.start.weights)
    for number in range(3):
        before = run.weights
        run.go()
        total = run.weights - before
        torch.testing.assert_close(run.state.messages["reduction"]["last"].weights, total)
        assert run.rows[number]["reduction/norm"] == pytest.approx(float(total.norm()))
    # the mean alone, from the same start, has no momentum: the states are what makes the difference
    assert not torch.allclose(run.weights, Running(tmp_path, FedAvg(), Listed(*ROUNDS)).go(3).weights)


def test_a_round_without_messages_keeps_the_states(tmp_path: Path) -> None:
    uplink = {"counts": Counts()}
    run = Running(tmp_path, FedAvg(), Listed([0], [], [1]), uplink=uplink, reduction=Momentum(), sizes=SIZES)
    run.go()
    before = run.state.messages
    run.go()
    assert float(run.state.messages["uplink"]["counts"]["messages"]) == 1
    assert run.state.messages["reduction"] is before["reduction"]


def test_the_states_of_the_server_are_resumed_to_the_same_bits(in_folder: Path) -> None:
    words = ["data=digits", "clients=3", "participation=0.7", "threads=1", "progress=none", "logger=none"]
    words += ["checkpoint.every=0", "checkpoint.keep=9", f"uplink.counts._target_={__name__}.Counts"]
    words += [f"reduction._target_={__name__}.Momentum", "downlink.topk._target_=fedlit.messages.downlink.TopK"]
    assert small_runs.command(*words, "rounds=4", "hydra.run.dir=uninterrupted") == 0
    assert small_runs.command(*words, "rounds=2", "hydra.run.dir=resumed") == 0
    assert small_runs.command("resume=resumed", "rounds=4") == 0
    assert numbers(Path("resumed")) == numbers(Path("uninterrupted"))
    state = saved(Path("resumed"), 4)
    assert same_bits(state, saved(Path("uninterrupted"), 4))
    assert float(state["messages"]["uplink"]["counts"]["messages"]) == 8
    assert state["messages"]["downlink"]["sent_in"] == 4
    assert [row["uplink/counts/messages"] for row in rows(Path("resumed"))] == [2, 4, 6, 8]


class Attack(Stage):
    place = "attack"


class Limit(Stage):
    place = "limit"

    def bound(self, norm: float | None) -> float | None:
        return 2.0


class Twice(Stage):
    trips = 2


class Nowhere(Stage):
    place = "everywhere"  # type: ignore[assignment]


class Control(Stage):
    @property
    def needs(self) -> tuple[str, ...]:
        return ("control",)


@pytest.mark.parametrize(
    ("uplink", "says"),
    [
        (
            {"clip": Limit(), "half": Stage()},
            r"uplink=\[clip,half\]: a message passes attacks first.*write 'uplink=\[half,clip\]'",
        ),
        ({"half": Stage(), "flip": Attack(), "clip": Limit()}, r"write 'uplink=\[flip,half,clip\]'"),
        (
            {"power": Twice(), "clip": Limit()},
            r"power sends several .* clip comes after it .limit.; leave",
        ),
        (
            {"clip": Limit(), "power": Twice()},
            r"power sends several .* clip comes after it .limit.; leave",
        ),
        ({"power": Twice(), "half": Stage()}, r"write 'uplink=\[half,power\]'"),
        ({"odd": Nowhere()}, r"uplink.odd: place='everywhere' of Nowhere is no place of a stage; write attack or"),
    ],
)
def test_stages_out_of_order_are_refused(uplink: dict[str, Stage], says: str) -> None:
    with pytest.raises(InputError, match=says):
        check_order(uplink)
    check_order({"flip": Attack(), "half": Stage(), "clip": Limit()})


def test_a_stage_over_a_key_that_is_not_sent_is_refused(tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg())
    message = {"delta.weights": run.start.weights, "delta.statistics": run.start.statistics}
    plan = MessagePlan("FedAvg", message, {}, run.layout, 4, 4.0)
    with pytest.raises(
        InputError, match="uplink.mine needs control of a message, and FedAvg sends delta.weights, delt"
    ):
        check_plan(plan, {"mine": Control()}, Mean())
    check_plan(plan, {"clip": Limit()}, Mean())


def test_the_bound_is_that_of_the_last_stage_and_none_after_one_that_may_lengthen() -> None:
    assert norm_bound({"clip": Limit()}) == 2.0
    assert norm_bound({"clip": Limit(), "half": Stage()}) is None
    assert norm_bound({}) is None


def test_a_stage_with_an_old_signature_is_refused_before_the_run(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("old.py").write_text(
        "from fedlit.messages.stages import Stage\n\n\n"
        "class Old(Stage):\n    def decode(self, wire):\n        return wire\n"
    )
    assert small_runs.command("data=digits", "logger=none", "uplink.old._target_=old.Old") == 2
    assert "Old.decode takes (wire), and it is called with (wire, sent); write: def decode(" in capsys.readouterr().err

"""Messages that somebody changes between clients and server: tensors and lists of rows, together and one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fedlit.attacks import ManInTheMiddle, Replay
from fedlit.attacks.transit import TransitAttack
from fedlit.errors import InputError
from fedlit.messages.sent import Sent
from fedlit.messages.stages import Stage
from fedlit.messages.wire import Wire, copied, selected
from fedlit.server_round import ServerRound
from tests.attacks.messages import ready, stage_client, wire_of
from tests.messages.whole_runs import command
from tests.slow import some_slow
from tests.small_runs import OPTIONS

COHORT = [3, 0, 5, 8]
REACHED = [0, 8]  # rows 1 and 3


def with_lists(numbers: list[int]) -> Wire:
    """Messages of all kinds of tensors, some with rows of several lengths."""
    return wire_of(numbers) | {
        "rows": [torch.arange(float(client)) for client in numbers],
        "bytes": [torch.full((client + 1,), client, dtype=torch.uint8) for client in numbers],
        "counts": torch.tensor(numbers)[:, None],
        "nothing": torch.zeros(len(numbers), 5, 0),
    }


def encoded(attack: TransitAttack, wire: Wire, numbers: list[int]) -> Wire:
    stage, client = ready(attack).stage(), stage_client(numbers, 1, COHORT)
    return stage.encode(client, copied(wire), stage.state(client, wire))[0]


def bits(rows: Any) -> list[Tensor]:
    return [row.contiguous().reshape(-1).view(torch.uint8) if row.numel() else torch.zeros(0) for row in rows]


def equal(first: Any, second: Any) -> bool:
    return all(map(torch.equal, bits(first), bits(second)))


@pytest.mark.parametrize("change", ["flip", "replace"])
def test_messages_of_all_kinds_are_changed_as_long_as_before_and_alone_as_together(change: Any) -> None:
    attack, wire = ManInTheMiddle(REACHED, change=change), with_lists(COHORT)
    arrived = encoded(attack, wire, COHORT)
    assert arrived.keys() == wire.keys()
    turned = torch.zeros(4)
    for key, value in wire.items():
        assert isinstance(arrived[key], list) == isinstance(value, list)
        for row in range(4):
            before, after = value[row], arrived[key][row]
            assert (after.shape, after.dtype) == (before.shape, before.dtype)
            different = torch.bitwise_xor(*(bits([t])[0].to(torch.uint8) for t in (before, after)))
            turned[row] += sum(bin(byte).count("1") for byte in different.tolist())
            if change == "replace" and before.is_floating_point() and row in (1, 3):
                assert torch.equal(after, -before)
    assert turned[0] == turned[2] == 0 and all(turned[[1, 3]] == 1 if change == "flip" else turned[[1, 3]] > 1)
    for row, number in enumerate(COHORT):
        alone = encoded(attack, selected(wire, [row]), [number])
        assert all(equal(alone[key], [arrived[key][row]]) for key in wire)


@pytest.mark.parametrize("chunks", [[COHORT], [[3, 0], [5, 8]], [[client] for client in COHORT]], ids=str)
def test_a_foreign_message_is_that_of_the_client_before_whatever_the_chunks(chunks: list[list[int]]) -> None:
    stage = ready(ManInTheMiddle(REACHED, change="foreign")).stage()
    for number in (1, 2):
        round, arrived = ServerRound(number=number, seed=0, cohort=COHORT, clients=12), dict[int, Wire]()
        for chunk in chunks:
            wire = with_lists(chunk)
            assert stage.encode(stage_client(chunk, number, COHORT), wire, {})[0] is wire
            decoded = stage.decode(wire, Sent(chunk, round))
            arrived |= {client: selected(decoded, [row]) for row, client in enumerate(chunk)}
        for client, of_client in {3: 3, 0: 3, 5: 5, 8: 5}.items():
            expected = with_lists([of_client])
            assert all(equal(arrived[client][key], value) for key, value in expected.items()), client


def test_the_first_message_of_a_round_has_none_before_it() -> None:
    stage = ready(ManInTheMiddle([3], change="foreign", rounds=[2])).stage()
    for number, expected in ((1, [0, 3]), (2, [0, 0]), (3, [0, 3])):
        round = ServerRound(number=number, seed=0, cohort=COHORT, clients=12)
        wire = {"counts": torch.tensor([[0], [3]])}
        assert stage.decode(wire, Sent([0, 3], round))["counts"][:, 0].tolist() == expected
    round = ServerRound(number=2, seed=0, cohort=COHORT, clients=12)
    assert stage.decode({"counts": torch.tensor([[3]])}, Sent([3], round))["counts"].tolist() == [[3]]


def test_a_replay_keeps_messages_of_one_length_and_says_so() -> None:
    with pytest.raises(InputError, match="keeps messages of one length, and those under rows have several; leave out"):
        encoded(Replay(REACHED), with_lists(COHORT), COHORT)
    stage, client, wire = ready(Replay(REACHED)).stage(), stage_client(COHORT), wire_of(COHORT)
    first, state = stage.encode(client, copied(wire), stage.state(client, wire))
    second, _ = stage.encode(client, wire_of(COHORT, 2), state)
    for key, value in wire.items():
        assert torch.equal(first[key], value) and torch.equal(second[key][[1, 3]], value[[1, 3]])
        assert torch.equal(second[key][[0, 2]], wire_of(COHORT, 2)[key][[0, 2]])


def test_what_changes_messages_says_which_changes_there_are() -> None:
    with pytest.raises(InputError, match="attack.change='swap' is not allowed; write flip or replace or foreign"):
        ManInTheMiddle(change="swap")  # type: ignore[arg-type]


@pytest.mark.parametrize("uplink", some_slow(OPTIONS["uplink"], ["topk", "powersgd"]))
def test_the_server_withstands_any_message_or_the_attack_is_refused(
    uplink: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Replaced indices of topk are beyond the model: such a message is refused as one of another kind is."""
    words = [f"uplink=[{uplink}]", "attack=man_in_the_middle", "attack.change=replace", "attack.clients=0.5"]
    code = command(*words, "rounds=1", "model=logistic", "trainer=vectorized", "hydra.run.dir=run")
    error = capsys.readouterr().err
    assert code == (2 if uplink == "powersgd" else 0) and "Traceback" not in error
    assert uplink != "topk" or "NaN or infinite values in delta.weights after decode of uplink.topk" in error
    assert uplink != "powersgd" or "uplink.powersgd has to be the last one" in error


def test_stages_of_transit_have_no_state_in_their_pickle() -> None:
    stage: Stage = ready(ManInTheMiddle([0], change="foreign")).stage()
    before = stage.__getstate__()
    stage.decode(wire_of([3, 0]), Sent([3, 0], ServerRound(number=1, seed=0, cohort=[3, 0], clients=12)))
    assert stage.__getstate__() == before

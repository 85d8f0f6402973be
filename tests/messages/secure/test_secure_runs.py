"""Runs with sums that the server cannot read: equal to the mean on every trainer and engine, and after a kill."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlit.aggregators import IFCA, FedAvg, FedNova, Scaffold
from fedlit.engines import Processes, Serial
from fedlit.messages.reductions import Ckks, Mean, Paillier, ProtocolClient, Reduction, SecureSum
from fedlit.messages.secure import installed
from fedlit.messages.secure.ckks import CkksKeyHolder
from fedlit.messages.stages import Clip
from fedlit.messages.wire import Wire
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests import small_runs
from tests.aggregators.federations import Listed, Running
from tests.messages.whole_runs import command
from tests.slow import some_slow
from tests.small_runs import numbers, rows, same_bits, saved, tensors

COHORTS = [[0, 1, 2, 3], [3, 1, 2]]


def secure(**options: Any) -> SecureSum:
    return SecureSum(**{"threshold": 0.5, "bits": 64, "most_examples": 20, **options})


@pytest.mark.parametrize(
    ("kind", "options"),
    [(LightningTrainer, {}), (VectorizedTrainer, {"stack": "always"}), (VectorizedTrainer, {"chunk": 2})],
    ids=["lightning", "one stack", "chunks of two"],
)
def test_all_trainers_reach_the_mean(kind: Any, options: dict[str, Any], tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Listed(*COHORTS), kind=kind, norm=True, reduction=secure(), **options).go(2)
    plain = Running(tmp_path, FedAvg(), Listed(*COHORTS), kind=kind, norm=True, **options).go(2)
    torch.testing.assert_close(run.weights, plain.weights, rtol=0, atol=1e-12)
    assert run.rows[0]["comm/bytes_up"] > plain.rows[0]["comm/bytes_up"]
    assert all("kept" not in key for state in run.state.clients.get(range(4)) if state for key in state)


@pytest.mark.parametrize("algorithm", [Scaffold, FedNova, IFCA])
def test_algorithms_with_several_vectors_and_weights_of_their_own(algorithm: Any, tmp_path: Path) -> None:
    run = Running(tmp_path, algorithm(), Listed(*COHORTS), reduction=secure(range=64)).go(2)
    plain = Running(tmp_path, algorithm(), Listed(*COHORTS)).go(2)
    server, expected = tensors(run.state.server), tensors(plain.state.server)
    assert server.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(server[name], value, rtol=0, atol=1e-10)


def test_adaptive_clipping_goes_with_a_secure_sum(tmp_path: Path) -> None:
    def clip() -> dict[str, Any]:
        return {"clip": Clip(0.05, quantile=0.5)}

    run = Running(tmp_path, FedAvg(), Listed(*COHORTS), uplink=clip(), reduction=secure()).go(2)
    plain = Running(tmp_path, FedAvg(), Listed(*COHORTS), uplink=clip()).go(2)
    torch.testing.assert_close(run.weights, plain.weights, rtol=0, atol=1e-12)
    assert run.rows[1]["uplink/clip/norm"] == pytest.approx(plain.rows[1]["uplink/clip/norm"], rel=1e-9)


class Failing(SecureSum):
    """Client 1 fails in one trip."""

    fails_in = 1

    def first(self, client: ProtocolClient, wire: Wire, weighting: Any) -> Any:
        self._fail(client)
        return super().first(client, wire, weighting)

    def answer(self, client: ProtocolClient, kept: Any) -> Any:
        self._fail(client)
        return super().answer(client, kept)

    def _fail(self, client: ProtocolClient) -> None:
        if client.trip == self.fails_in and 1 in client.clients:
            raise RuntimeError("the connection is lost")


@pytest.mark.parametrize(
    ("trip", "engine"), [*((trip, Serial) for trip in (1, 2, 3, 4)), pytest.param(3, Processes, marks=pytest.mark.slow)]
)
def test_a_client_may_be_lost_in_each_trip(trip: int, engine: Any, tmp_path: Path) -> None:
    reduction = Failing(threshold=0.5, bits=64, most_examples=20)
    reduction.fails_in = trip
    with engine(on_failure="drop") as used:
        run = Running(tmp_path, Scaffold(), Listed([0, 1, 2, 3]), engine=used, reduction=reduction).go()
    arrived = [0, 1, 2, 3] if trip == 4 else [0, 2, 3]
    plain = Running(tmp_path / "plain", Scaffold(), Listed(arrived)).go()
    torch.testing.assert_close(run.weights, plain.weights, rtol=0, atol=1e-12)
    assert (run.rows[0]["cohort/arrived"], run.rows[0]["cohort/lost"]) == (len(arrived), 4 - len(arrived))
    states = run.state.clients.get(range(4))
    assert [client for client in range(4) if states[client]] == arrived


def test_a_client_beyond_the_range_is_lost_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    norms = Running(tmp_path, FedAvg(), Listed([0, 1, 2, 3]), optimizer={"lr": 0.5}).go()
    limit = float((norms.weights - norms.start.weights).abs().max()) / 2
    run = Running(
        tmp_path / "run", FedAvg(), Listed([0, 1, 2, 3]), optimizer={"lr": 0.5}, reduction=secure(range=limit)
    )
    row = run.go().rows[0]
    assert row["cohort/refused"] == row["cohort/lost"] >= 1 and "reduction.range=" in caplog.text


@pytest.mark.parametrize("made", [Ckks, Paillier])
def test_encrypted_sums_reach_the_mean(made: type[Reduction], tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Listed(*COHORTS), norm=True, reduction=made(most_examples=20)).go(2)  # type: ignore[call-arg]
    plain = Running(tmp_path, FedAvg(), Listed(*COHORTS), norm=True, reduction=Mean()).go(2)
    torch.testing.assert_close(run.weights, plain.weights, rtol=0, atol=1e-6)
    assert run.rows[0]["comm/bytes_up"] > plain.rows[0]["comm/bytes_up"]


def same_server(first: str, second: str, round: int) -> bool:
    one, other = (tensors(saved(Path(folder), round)["server"]) for folder in (first, second))
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


KILLED = {
    "secure": ["reduction=secure"],
    "seal": ["uplink=[topk,seal]", "attack=sign_flip"],  # who replays keeps ciphertexts, whose bytes differ
    "paillier": ["reduction=paillier", "clients=3", "model=logistic"],
}


@pytest.mark.parametrize("name", some_slow(KILLED, ["secure"]))
def test_a_resumed_run_has_the_same_sums_and_other_keys(name: str, in_folder: Path) -> None:
    words = [*KILLED[name], "trainer=vectorized"]
    assert command(*words, "rounds=3", "hydra.run.dir=whole") == 0
    assert command(*words, "rounds=1", "hydra.run.dir=parts") == 0
    assert small_runs.command("resume=parts", "rounds=3") == 0
    assert numbers(Path("parts")) == numbers(Path("whole"))
    assert same_bits(saved(Path("parts"), 3), saved(Path("whole"), 3))
    assert command(*words, "rounds=3", "engine=processes", "engine.workers=2", "hydra.run.dir=processes") == 0
    assert numbers(Path("processes")) == numbers(Path("whole"))


@pytest.mark.parametrize("words", ["reduction=secure", "uplink=[seal]", "reduction=ckks", "reduction=paillier"])
def test_no_file_of_a_run_holds_a_key(words: str, in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, draw = list[bytes](), os.urandom

    def remembered(size: int) -> bytes:
        drawn.append(draw(size))
        return drawn[-1]

    monkeypatch.setattr(os, "urandom", remembered)
    if words == "reduction=ckks":  # TenSEAL draws for itself
        generate = CkksKeyHolder.generate

        def generated() -> CkksKeyHolder:
            holder = generate()
            drawn.append(holder.context)
            return holder

        monkeypatch.setattr(CkksKeyHolder, "generate", generated)
    setting = ["clients=3", "model=logistic", "trainer=vectorized", "rounds=2", "checkpoint.every=1", "store=disk"]
    assert command(words, *setting, "hydra.run.dir=run") == 0
    secrets = {text[at : at + 16] for text in drawn for at in range(0, len(text) - 15, 16)}
    files = [path for path in Path("run").rglob("*") if path.is_file()]
    assert secrets and any("checkpoints" in path.parts for path in files)
    for path in files:
        content = path.read_bytes()
        assert not any(secret in content for secret in secrets), path


TRANSIT = {  # the refused messages of three rounds: client 2 is behind others, and a first message passes
    "attack=man_in_the_middle": [1, 1, 1],
    "attack=man_in_the_middle attack.change=replace": [1, 1, 1],
    "attack=man_in_the_middle attack.change=foreign": [1, 1, 1],
    "attack=replay": [0, 1, 1],
}


@pytest.mark.parametrize("words", TRANSIT)
def test_changed_foreign_and_repeated_messages_are_refused_under_a_seal_and_pass_without_one(
    words: str, in_folder: Path
) -> None:
    setting = [*words.split(), "attack.clients=[2]", "rounds=3", "trainer=vectorized", "participation=1.0"]
    assert command("uplink=[seal]", *setting, "hydra.run.dir=sealed") == 0
    assert [row["cohort/refused"] for row in rows(Path("sealed"))] == TRANSIT[words]
    assert all(row["cohort/arrived"] == 9 - row["cohort/refused"] for row in rows(Path("sealed")))
    if words == "attack=man_in_the_middle":
        return  # a turned bit may make a sum infinite
    for folder, clients in (("open", "[2]"), ("honest", "0")):
        assert command(*setting, f"attack.clients={clients}", f"hydra.run.dir={folder}") == 0
        assert not any(row["cohort/refused"] for row in rows(Path(folder)))
    assert not same_server("open", "honest", 3)


@pytest.mark.parametrize(
    "words",
    [
        "reduction=secure secure.insecure_keys=seed",
        "reduction=secure reduction.insecure_keys=seed",
        "uplink=[seal] uplink.seal.insecure_keys=seed",
    ],
)
def test_insecure_keys_say_so_in_every_line_of_the_log(
    words: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*words.split(), "rounds=1", "trainer=vectorized", "hydra.run.dir=run") == 0
    lines = Path("run/run.log").read_text().splitlines()
    assert lines and all("insecure keys (secure.insecure_keys=seed)" in line for line in lines)
    assert "takes its keys from the run's seed" in capsys.readouterr().err


@pytest.mark.parametrize("reduction", ["mean", "ckks"])
def test_insecure_keys_without_an_effect_are_named(
    reduction: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"reduction={reduction}", "secure.insecure_keys=seed", "rounds=1", "trainer=vectorized"]
    assert command(*words, "hydra.run.dir=run") == 0
    assert "secure.insecure_keys=seed has no effect: it is for keys of reduction=secure" in capsys.readouterr().err
    assert "insecure keys" not in Path("run/run.log").read_text()


def test_insecure_keys_change_no_number(in_folder: Path) -> None:
    words = ["reduction=secure", "rounds=2", "reduction.threshold=1.0", "trainer=vectorized"]
    assert command(*words, "secure.insecure_keys=seed", "hydra.run.dir=run") == 0
    assert command(*words, "hydra.run.dir=other") == 0
    assert "insecure" not in Path("other/run.log").read_text()
    assert same_server("run", "other", 2)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["clients=1", "participation=1.0"], "adds the messages of 2 clients or more, and a round has 1 of them"),
        (["aggregator=local"], "SecureSum hides messages, and clients of Local send none"),
        (["uplink=[topk]"], "under SecureSum the server sees sums only and cannot decode what topk encodes"),
        (["uplink=[seal]"], "under SecureSum the server sees sums only and cannot decode what seal encodes"),
        (["attack=alie"], "under SecureSum nobody sees the clients' own messages"),
        (["attack=man_in_the_middle"], "ManInTheMiddle changes what the stages of uplink send, and SecureSum"),
        (["aggregator=fedamp"], "gets every client's own message (needs_all), and SecureSum makes one of them"),
        (["uplink=[powersgd]"], "uplink.powersgd sends several messages a round"),
        (["reduction.range=1000"], "has a step of"),
        (["reduction=bucketing", "reduction@reduction.inner=secure"], "sees sums only"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_round(
    words: list[str], sentence: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("reduction=secure", *words, "rounds=1", "hydra.run.dir=run") == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("reduction=secure", "needs the package cryptography; run: pip install 'fedlit[secure]'"),
        ("uplink=[seal]", "needs the package cryptography; run: pip install 'fedlit[secure]'"),
        ("reduction=ckks", "needs the package tenseal; run: pip install 'fedlit[he]'"),
        ("reduction=paillier", "needs the package gmpy2; run: pip install 'fedlit[he]'"),
    ],
)
def test_a_package_that_is_not_installed_is_named(
    words: str, sentence: str, in_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda package: None)
    assert command(words, "rounds=1", "hydra.run.dir=run") == 2
    assert f"{words} {sentence}" in capsys.readouterr().err

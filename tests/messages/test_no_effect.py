"""What a user must know of the stages, the reduction and the attack of a run: named at its start, and where they do
nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from fedlit.messages.stages import Stage
from fedlit.messages.stages.base import Place
from tests.slow import some_slow
from tests.small_runs import command

TINY = ["data=digits", "clients=10", "rounds=1", "local_updates=1", "threads=1", "device=cpu", "logger=none"]

LINES = {
    "uplink=[topk,clip] downlink=[half]": ["uplink      TopK share=0.1, Clip norm=1", "downlink    Half"],
    "reduction=bucketing reduction@reduction.inner=krum": ["reduction   Bucketing s=2 of Krum f=1"],
    "attack=sign_flip attack.clients=[7,2]": ["attack      SignFlip by 2 of 10 clients (2, 7)"],
    "attack=sign_flip attack.clients=0": ["attack      SignFlip by no client"],
    "attack=label_flip": ["attack      LabelFlip by 2 of 10 clients", "attack/success"],
    # without an effect
    "attack=sign_flip attack.rounds=[3,5]": ["attack.rounds=[3,5]: no attack takes place in 1 round"],
    "attack=sign_flip attack.rounds={from:2}": ["attack.rounds={from: 2}: no attack takes place in 1 round"],
    "attack=alie": ["Alie's z is 0", "write for example attack.z=1"],
    "reduction=bucketing": ["the plain mean, which withstands no malicious client; write for example reduction@"],
    "aggregator=local downlink=[half]": ["downlink: the stages have no effect", "Write 'downlink=[]'"],
}
SILENT = {
    "attack=alie attack.z=1": "z is 0",
    "reduction=nnm reduction@reduction.inner=median": "withstands",
    "attack=sign_flip attack.rounds=[1]": "no attack",
}


def output(words: str, capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    assert command(*TINY, "hydra.run.dir=run", "progress=plain", *words.split()) == code
    captured = capsys.readouterr()
    return captured.out + captured.err


QUICK = [words for number, words in enumerate(LINES) if number in (0, 2, 4, 6, 8, 9)]


@pytest.mark.parametrize("words", some_slow(LINES, QUICK))
def test_a_run_says_what_messages_pass(words: str, in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = output(words, capsys)
    assert all(line in text for line in LINES[words]), text


@pytest.mark.parametrize("words", SILENT)
def test_what_has_an_effect_gives_no_warning(words: str, in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert SILENT[words] not in output(words, capsys)


class Sixteen(Stage):
    """Takes the weights, as they are before any stage."""

    place: ClassVar[Place] = "compress"

    def encode(self, client: Any, wire: Any, state: Any) -> Any:
        return wire | {"delta.weights": wire["delta.weights"].half()}, state


class Wrong(Sixteen):
    """Takes a key that no message has."""

    def encode(self, client: Any, wire: Any, state: Any) -> Any:
        return {"mine": wire["mine"]}, state


REFUSED = {
    f"uplink=[topk] uplink.mine._target_={__name__}.Sixteen": "uplink.mine takes delta.weights, which an earlier stage",
    "uplink=[topk,qsgd]": "write 'uplink.qsgd.keys=[delta.weights.values]', or leave out one of the stages.",
    "aggregator=local uplink=[topk]": "the clients of this algorithm send nothing; write 'uplink=[]' or another",
    "reduction=krum reduction.f=4": "a round has 10 of them; write reduction.f=3, or ask more clients.",
    "reduction=nnm reduction@reduction.inner=krum reduction.inner.f=4": "makes 10 of them; write reduction.inner.f=3",
    "reduction=multikrum reduction.m=10": "write reduction.m=9 or less.",
    "attack=label_flip attack.mapping={}": "no class changes; write for example 'attack.mapping={7:1}', or null",
    "attack=alie attack.rounds={start:1}": "attack.rounds={start: 1}: the rounds",
    "evaluation.extra.dark=mine.Dark": "evaluation.extra.dark=mine.Dark: this changes no batch",
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_refusal_says_what_to_write(words: str, in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert REFUSED[words] in output(words, capsys, code=2)


def test_a_stage_that_takes_a_key_of_no_message_is_a_bug(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "KeyError: 'mine'" in output(f"uplink.mine._target_={__name__}.Wrong", capsys, code=1)

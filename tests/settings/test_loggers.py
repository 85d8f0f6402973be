"""`logger=`: several options at once, loggers of the user's by name, and the sentences for mistakes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedlit.errors import InputError
from fedlit.settings import logger_parts
from fedlit.settings.check import check
from fedlit.settings.compose import Composer, composer
from fedlit.settings.folders import conf_folder


@pytest.fixture(scope="module")
def shipped() -> Iterator[Composer]:
    with composer() as opened:
        yield opened


def names(*words: str, shipped: Composer, sweeps: bool = False) -> list[str]:
    """The loggers of the configuration that the words compose to."""
    return list(check(words, shipped, sweeps=sweeps).composed.config.logger)


@pytest.fixture
def all_installed(monkeypatch: Any) -> None:
    monkeypatch.setattr(logger_parts, "find_spec", lambda name: object())


MINE = "logger.mine._target_=mine.MyLogger"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["tensorboard"]),
        (["logger=none"], []),
        (["~logger"], []),
        (["logger=[none]"], []),
        (["logger=csv"], ["csv"]),
        (["logger=[csv]"], ["csv"]),
        (["logger=[csv,tensorboard]"], ["csv", "tensorboard"]),
        (["logger=[wandb,mlflow,trackio,csv]", "logger.wandb.mode=offline"], ["wandb", "mlflow", "trackio", "csv"]),
        ([MINE], ["tensorboard", "mine"]),
        (["logger=none", MINE, "logger.mine.path=x"], ["mine"]),
        (["logger=[csv]", "logger={mine: {_target_: mine.MyLogger}}"], ["csv", "mine"]),
    ],
)
def test_loggers_have_a_name_each(
    words: list[str], expected: list[str], shipped: Composer, all_installed: None
) -> None:
    assert names(*words, shipped=shipped) == expected


def test_keys_of_an_option_stand_under_its_name(shipped: Composer) -> None:
    config = check(["logger=[tensorboard,csv]", "logger.tensorboard.picture_every=2"], shipped).composed.config
    assert config.logger.tensorboard.picture_every == 2


def test_a_sweep_may_vary_the_loggers(shipped: Composer) -> None:
    assert names("logger=[csv,tensorboard],none", shipped=shipped, sweeps=True) == ["csv", "tensorboard"]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("logger=null", "logger=null: null is no option; write logger=none."),
        ("logger=[]", "logger=[]: the list is empty; write logger=none."),
        ("logger=[csv,csv]", "logger=[csv,csv]: csv is in the list twice; write logger=csv."),
        ("logger=[none,csv]", "none stands for no option, and others are in the list; write logger=csv."),
        ("logger=[csv,tensorbord]", "there is no logger named tensorbord; did you mean 'logger=[csv,tensorboard]'?"),
        ("logger=csv,tensorboard", "write 'logger=[csv,tensorboard]' for a list."),
        ("logger=comet", "subclass fedlit.tracking.Logger and write logger.mine._target_=mine.MyLogger"),
        ("logger=mine.MyLogger", "a class is named by logger.mine._target_=mine.MyLogger."),
        (
            "logger._target_=mine.Net",
            "because there may be several; write logger.net._target_=mine.Net, with logger=none if",
        ),
        ("logger.mine=3", "logger.mine=3: a logger has a name and a class;"),
        ("logger.picture_every=3", "write for example logger.tensorboard.picture_every=<value>."),
        ("logger.csv.path=x", "logger.csv: this logger is not chosen and has no class; write logger=[tensorboard,csv]"),
        ("logger.tensorboard.picture_evry=3", "did you mean logger.tensorboard.picture_every=3?"),
        (
            "logger.tensorboard.picture_every=-1",
            "logger.tensorboard.picture_every=-1: logger.tensorboard.picture_every",
        ),
        ("model=[mlp,cnn]", "model=[mlp,cnn]: one option is chosen; write model=<option>"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(word: str, sentence: str, shipped: Composer) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        check([word], shipped)


@pytest.mark.parametrize("name", logger_parts.EXTRAS.values())
def test_a_missing_package_is_named_before_any_work(name: str, shipped: Composer, monkeypatch: Any) -> None:
    monkeypatch.setattr(logger_parts, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=re.escape(f"write pip install 'fedlit[{name}]'")):
        check([f"logger=[csv,{name}]"], shipped)


def test_each_shipped_logger_has_a_package_of_its_own() -> None:
    for path in sorted(Path(conf_folder(), "logger").glob("*.yaml")):
        if path.stem != "none":
            assert path.read_text().startswith(f"# @package logger.{path.stem}\n")

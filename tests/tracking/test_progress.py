from __future__ import annotations

import dataclasses
import io
import logging
import sys

import pytest
from rich.console import Console

from fedlit.errors import InputError
from fedlit.tracking import Loggers
from fedlit.tracking.progress import NotebookProgress, PlainProgress, RichProgress, progress
from fedlit.tracking.summary import summarise
from tests.tracking.runs import about, row

ROWS = [{"round": n, **row(n)} for n in range(1, 6)]


def run(logger, folder, seconds_a_round=0.0, clock=None, rounds=5, until=5):
    """Call the logger as a run would until that round."""
    logger.start(about(folder, rounds))
    for number in range(1, until + 1):
        logger.cohort(number, 2)
        logger.client_done(number, 1)
        if clock is not None:
            clock[0] += seconds_a_round
        logger.round(number, row(number), {})


def plain(folder, seconds_a_round, capsys, **span):
    clock = [0.0]
    logger = PlainProgress(interval=1.0, clock=lambda: clock[0])
    run(logger, folder, seconds_a_round, clock, **span)
    return logger, capsys.readouterr().out.splitlines()


def test_plain_progress_prints_a_line_per_round(tmp_path, capsys):
    _, lines = plain(tmp_path, 1.5, capsys)
    assert lines[0] == "a run" and lines[1].split() == ["data", "pets"]
    assert lines[3] == "round 1/5  global/test/accuracy 0.125  train/loss 0.500"
    assert [line.split()[1] for line in lines[3:]] == ["1/5", "2/5", "3/5", "4/5", "5/5"]


def test_fast_rounds_are_thinned_and_the_last_is_shown(tmp_path, capsys):
    _, lines = plain(tmp_path, 0.4, capsys)
    assert lines.pop(4) == "(rounds are fast: at most one line a second; metrics.jsonl has every round)"
    assert [line.split()[1] for line in lines[3:]] == ["1/5", "4/5", "5/5"]


def test_the_first_line_says_what_runs(tmp_path, capsys):
    described = dataclasses.replace(about(tmp_path), title="fedavg · dirichlet(0.5) · pets · seed 7")
    PlainProgress().start(described)
    PlainProgress().start(dataclasses.replace(described, name=tmp_path.name))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == lines[4] == "fedavg · dirichlet(0.5) · pets · seed 7"
    assert [line.split()[0] for line in lines[1:4] + lines[5:]] == ["name", "data", "folder", "data", "folder"]


def test_the_last_round_before_an_interrupt_is_shown(tmp_path, capsys):
    logger, _ = plain(tmp_path, 0.1, capsys, until=3)
    logger.finish(summarise(ROWS[:3], tmp_path))
    logger.close()
    shown, end = capsys.readouterr().out.splitlines()
    assert shown.startswith("round 3/5")
    assert end.startswith(
        "stopped after round 3 of 5 in 0.0 s | global/test/accuracy 0.375, best 0.375 in round 3 (chosen"
    )


def test_the_last_line_has_the_relative_folder_and_the_tensorboard_command(in_folder, capsys):
    folder = in_folder / "outputs" / "a b"
    folder.mkdir(parents=True)
    (folder / "events.out.tfevents.1.host").touch()
    logger, _ = plain(folder, 1.0, capsys)
    summary = summarise(ROWS, folder, seconds=3725.0)
    logger.finish(summary)
    assert capsys.readouterr().out == (
        "5 rounds in 1 h 2 min | global/test/accuracy 0.625, best 0.625 in round 5 (chosen by test) | "
        "clients lost 5, idle 0 | outputs/a b | tensorboard --logdir 'outputs/a b'\n"
    )


def test_a_best_round_chosen_by_validation_shows_its_test_number(tmp_path, capsys):
    table = [{"round": 1, "global/validation/accuracy": 0.9, "global/test/accuracy": 0.7},
             {"round": 2, "global/validation/accuracy": 0.8, "global/test/accuracy": 0.75}]  # fmt: skip
    logger = PlainProgress()
    logger.start(about(tmp_path, rounds=2))
    logger.finish(summarise(table, tmp_path))
    end = capsys.readouterr().out.splitlines()[-1]
    assert "| global/test/accuracy 0.750, best 0.700 in round 1 (chosen by validation) |" in end
    assert "tensorboard" not in end


def test_the_live_display_shows_rounds_clients_and_metric(tmp_path):
    screen = io.StringIO()
    logger = RichProgress(Console(file=screen, force_terminal=True, width=120, color_system=None))
    run(logger, tmp_path)
    logger.finish(summarise(ROWS, tmp_path))
    logger.close()
    shown = screen.getvalue()
    assert "pets" in shown and "5/5" in shown and "global/test/accuracy 0.625" in shown
    assert shown.rstrip().splitlines()[-1].removeprefix("\x1b[?25h").startswith("5 rounds in 0.0 s |")


def test_close_restores_cursor_stdout_and_log_handlers(tmp_path, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    handler = logging.StreamHandler(screen)
    logging.getLogger().addHandler(handler)
    logger = RichProgress(Console(force_terminal=True, width=120, color_system=None))
    try:
        run(logger, tmp_path, until=1)
        assert handler.stream is sys.stdout is not screen  # what is logged stands above the bars
        logging.getLogger().error("client 3 is lost")
        logger.close()
        logger.close()
        assert handler.stream is sys.stdout is screen
    finally:
        logging.getLogger().removeHandler(handler)
        logger.close()
    shown = screen.getvalue()
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1
    assert "\nclient 3 is lost\n" in shown.replace("\x1b[2K", "").replace("\x1b[1A", "").replace("\r", "\n")


def test_auto_progress_is_rich_on_a_terminal_only(monkeypatch):
    assert isinstance(progress("plain"), PlainProgress)
    assert isinstance(progress("rich"), RichProgress)
    assert isinstance(progress("none"), Loggers)
    for terminal, term, kind in (
        (True, "xterm", RichProgress),
        (True, "dumb", PlainProgress),
        (False, "xterm", PlainProgress),
    ):
        monkeypatch.setattr(sys.stdout, "isatty", lambda terminal=terminal: terminal)
        monkeypatch.setenv("TERM", term)
        assert isinstance(progress("auto"), kind)
    with pytest.raises(InputError, match="progress=loud: write auto, rich, plain or none"):
        progress("loud")


class Output:
    """Of a notebook's cell, as IPython's `display` makes it: shows an object, and others in its place."""

    def __init__(self):
        self.shown = []

    def __call__(self, value, display_id):
        assert display_id is True
        self.update(value)
        return self

    def update(self, value):
        self.shown.append(value._repr_mimebundle_((), ())["text/html"])


def test_a_notebook_has_bars_in_one_output(tmp_path, capsys):
    output = Output()
    logger = NotebookProgress(output, interval=0.0)
    run(logger, tmp_path)
    assert "clients" in output.shown[1] and "1/2" in output.shown[2]
    logger.finish(summarise(ROWS, tmp_path, 4.0) | {"lost": 0})
    assert "5/5" in output.shown[-1] and "global/test/accuracy 0.625" in output.shown[-1]
    assert "clients" not in output.shown[-1]
    logger.close()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "a run" and printed[-1].startswith("5 rounds in 4.0 s") and "\x1b" not in "".join(printed)


def test_fast_rounds_do_not_flood_a_notebook_and_the_last_is_shown(tmp_path):
    output = Output()
    logger = NotebookProgress(output, interval=1e6)
    run(logger, tmp_path, until=3)
    logger.close()  # after an error
    assert len(output.shown) == 3 and "3/5" in output.shown[-1]


@pytest.mark.parametrize("show", ["auto", "rich"])
def test_a_notebook_is_seen(show, monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert type(progress(show)) is NotebookProgress
    assert type(progress("plain")) is PlainProgress

"""Results leave in the order in which chunks came, whoever is done first, and nothing is lost with a worker."""

from __future__ import annotations

import pytest

from fedlit.engines import ordered_queue as lines
from fedlit.engines.ordered_queue import Line
from fedlit.engines.worker_process import Failed
from fedlit.round import Round
from fedlit.training import Cohort, Job
from tests.training.rounds import cut

FAILED = Failed("ValueError: no", "trace", None)


def chunks(*sizes: int) -> list[Cohort]:
    round = Round(4, 0, list(range(sum(sizes))), sum(sizes))
    jobs = [Job(c, round, 1, 1, part) for c, part in enumerate(cut(*[1] * sum(sizes)))]
    cohort = Cohort(jobs, {}, [{}] * len(jobs), [{}] * len(jobs), {})
    return [cohort[int(at[0]) : int(at[-1]) + 1] for at in cut(*sizes)]


def clients(task) -> list[int]:
    return [job.client for job in task.chunk.jobs]


def test_in_order():
    line = Line(chunks(2, 1, 1))
    a, b, c = line.next(), line.next(), line.next()
    assert [clients(t) for t in (a, b, c)] == [[0, 1], [2], [3]] and line.next() is None
    for task in (c, a):
        line.done(task, "result", 1)
    assert line.leave() is a and line.leave() is None
    line.done(b, "result", 1)
    assert [line.leave(), line.leave()] == [b, c] and not line.waiting


def test_results_that_wait_are_bounded_in_memory(monkeypatch):
    monkeypatch.setattr(lines, "_HELD", 10)
    line = Line(chunks(1, 1, 1, 1))
    a, b = line.next(), line.next()
    line.done(b, "result", 11)
    assert line.next() is None, "the first is not done, and what waits for it is large enough"
    line.done(a, "result", 1)
    assert [line.leave(), line.leave()] == [a, b]
    assert clients(line.next()) == [2]


def test_the_first_in_line_is_begun_whatever_waits(monkeypatch):
    monkeypatch.setattr(lines, "_HELD", 10)
    line = Line(chunks(1, 1))
    a, b = line.next(), line.next()
    line.done(b, "result", 11)
    line.died(a, "killed")
    assert line.next() is a


def test_a_chunk_whose_worker_dies_runs_again_first_and_then_client_by_client():
    line = Line(chunks(2, 1))
    chunk = line.next()
    line.died(chunk, "killed by SIGKILL")
    assert line.next() is chunk
    line.died(chunk, "killed by SIGKILL")
    a, b, c = line.next(), line.next(), line.next()
    assert [clients(t) for t in (a, b, c)] == [[0], [1], [2]]
    line.died(a, "killed by SIGKILL")
    for task in (b, c):
        line.done(task, "result", 1)
    assert line.leave() is a and "killed by SIGKILL" in a.found.what
    assert [line.leave(), line.leave()] == [b, c]


def test_a_chunk_that_raises_runs_client_by_client():
    line = Line(chunks(1, 2))
    _, chunk = line.next(), line.next()
    line.done(chunk, FAILED, 1)
    a, b = line.next(), line.next()
    assert [clients(t) for t in (a, b)] == [[1], [2]]
    line.done(a, FAILED, 1)
    assert a.found is FAILED


def test_a_sentence_for_the_user_is_not_tried_again():
    line = Line(chunks(2))
    chunk = line.next()
    line.done(chunk, Failed("InputError: write x", "trace", "write x"), 1)
    assert line.leave() is chunk


@pytest.mark.parametrize("back", ["done", "died"])
def test_what_comes_of_a_run_that_was_given_up_is_left(back):
    old, line = Line(chunks(1)), Line(chunks(1))
    task = old.next()
    line.done(task, "result", 5) if back == "done" else line.died(task, "killed")
    assert len(line.waiting) == len(line.todo) == 1 and line.leave() is None

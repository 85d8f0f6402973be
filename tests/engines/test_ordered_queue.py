"""Results leave in the order in which chunks came, whoever is done first, and nothing is lost with a worker."""

from __future__ import annotations

import pytest

from fedlit.engines import ordered_queue as lines
from fedlit.engines.ordered_queue import OrderedQueue
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
    line = OrderedQueue(chunks(2, 1, 1))
    a, b, c = line.next_task(), line.next_task(), line.next_task()
    assert [clients(t) for t in (a, b, c)] == [[0, 1], [2], [3]] and line.next_task() is None
    for task in (c, a):
        line.done(task, "result", 1)
    assert line.pop_ready() is a and line.pop_ready() is None
    line.done(b, "result", 1)
    assert [line.pop_ready(), line.pop_ready()] == [b, c] and not line.waiting


def test_results_that_wait_are_bounded_in_memory(monkeypatch):
    monkeypatch.setattr(lines, "_HELD", 10)
    line = OrderedQueue(chunks(1, 1, 1, 1))
    a, b = line.next_task(), line.next_task()
    line.done(b, "result", 11)
    assert line.next_task() is None, "the first is not done, and what waits for it is large enough"
    line.done(a, "result", 1)
    assert [line.pop_ready(), line.pop_ready()] == [a, b]
    assert clients(line.next_task()) == [2]


def test_the_first_in_line_is_begun_whatever_waits(monkeypatch):
    monkeypatch.setattr(lines, "_HELD", 10)
    line = OrderedQueue(chunks(1, 1))
    a, b = line.next_task(), line.next_task()
    line.done(b, "result", 11)
    line.worker_lost(a, "killed")
    assert line.next_task() is a


def test_a_chunk_whose_worker_dies_runs_again_first_and_then_client_by_client():
    line = OrderedQueue(chunks(2, 1))
    chunk = line.next_task()
    line.worker_lost(chunk, "killed by SIGKILL")
    assert line.next_task() is chunk
    line.worker_lost(chunk, "killed by SIGKILL")
    a, b, c = line.next_task(), line.next_task(), line.next_task()
    assert [clients(t) for t in (a, b, c)] == [[0], [1], [2]]
    line.worker_lost(a, "killed by SIGKILL")
    for task in (b, c):
        line.done(task, "result", 1)
    assert line.pop_ready() is a and "killed by SIGKILL" in a.found.what
    assert [line.pop_ready(), line.pop_ready()] == [b, c]


def test_a_chunk_that_raises_runs_client_by_client():
    line = OrderedQueue(chunks(1, 2))
    _, chunk = line.next_task(), line.next_task()
    line.done(chunk, FAILED, 1)
    a, b = line.next_task(), line.next_task()
    assert [clients(t) for t in (a, b)] == [[1], [2]]
    line.done(a, FAILED, 1)
    assert a.found is FAILED


def test_a_sentence_for_the_user_is_not_tried_again():
    line = OrderedQueue(chunks(2))
    chunk = line.next_task()
    line.done(chunk, Failed("InputError: write x", "trace", "write x"), 1)
    assert line.pop_ready() is chunk


@pytest.mark.parametrize("back", ["done", "worker lost"])
def test_what_comes_of_a_run_that_was_given_up_is_left(back):
    old, line = OrderedQueue(chunks(1)), OrderedQueue(chunks(1))
    task = old.next_task()
    line.done(task, "result", 5) if back == "done" else line.worker_lost(task, "killed")
    assert len(line.waiting) == len(line.todo) == 1 and line.pop_ready() is None

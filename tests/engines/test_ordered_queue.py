"""Results are released in the order of the chunks, whichever is ready first, and a lost worker loses no chunk."""

from __future__ import annotations

import pytest

from fedlit.engines import ordered_queue
from fedlit.engines.failures import Failed
from fedlit.engines.ordered_queue import OrderedQueue
from fedlit.round import Round
from fedlit.training import Cohort, Job
from tests.training.rounds import cut

FAILED = Failed("ValueError: no", "trace", None)


def chunks(*sizes: int) -> list[Cohort]:
    round = Round(4, 0, list(range(sum(sizes))), sum(sizes))
    jobs = [Job(c, round, 1, 1, part) for c, part in enumerate(cut(*[1] * sum(sizes)))]
    cohort = Cohort(jobs, {}, {}, [{}] * len(jobs), {})
    return [cohort[int(rows[0]) : int(rows[-1]) + 1] for rows in cut(*sizes)]


def clients(task) -> list[int]:
    return [job.client for job in task.chunk.jobs]


def test_results_are_released_in_submission_order():
    queue = OrderedQueue(chunks(2, 1, 1))
    a, b, c = queue.next_task(), queue.next_task(), queue.next_task()
    assert [clients(task) for task in (a, b, c)] == [[0, 1], [2], [3]] and queue.next_task() is None
    for task in (c, a):
        queue.done(task, "result", 1)
    assert queue.pop_ready() is a and queue.pop_ready() is None
    queue.done(b, "result", 1)
    assert [queue.pop_ready(), queue.pop_ready()] == [b, c] and not queue.unreleased


def test_no_chunk_starts_while_the_waiting_results_take_too_much_memory(monkeypatch):
    monkeypatch.setattr(ordered_queue, "_MAX_HELD_BYTES", 10)
    queue = OrderedQueue(chunks(1, 1, 1, 1))
    a, b = queue.next_task(), queue.next_task()
    queue.done(b, "result", 11)
    assert queue.next_task() is None, "the first chunk has no result yet, and the second result is large"
    queue.done(a, "result", 1)
    assert [queue.pop_ready(), queue.pop_ready()] == [a, b]
    assert clients(queue.next_task()) == [2]


def test_the_first_chunk_starts_however_much_memory_is_taken(monkeypatch):
    monkeypatch.setattr(ordered_queue, "_MAX_HELD_BYTES", 10)
    queue = OrderedQueue(chunks(1, 1))
    a, b = queue.next_task(), queue.next_task()
    queue.done(b, "result", 11)
    queue.worker_lost(a, "killed")
    assert queue.next_task() is a


def test_a_task_that_was_put_back_comes_next():
    queue = OrderedQueue(chunks(1, 1))
    task = queue.next_task()
    queue.put_back(task)
    assert queue.next_task() is task and task.workers_lost == 0


def test_a_chunk_whose_worker_dies_runs_again_first_and_then_client_by_client():
    queue = OrderedQueue(chunks(2, 1))
    chunk = queue.next_task()
    queue.worker_lost(chunk, "killed by SIGKILL")
    assert queue.next_task() is chunk
    queue.worker_lost(chunk, "killed by SIGKILL")
    a, b, c = queue.next_task(), queue.next_task(), queue.next_task()
    assert [clients(task) for task in (a, b, c)] == [[0], [1], [2]]
    queue.worker_lost(a, "killed by SIGKILL")
    for task in (b, c):
        queue.done(task, "result", 1)
    assert queue.pop_ready() is a and "killed by SIGKILL" in a.result.message
    assert [queue.pop_ready(), queue.pop_ready()] == [b, c]


def test_a_chunk_that_raises_runs_again_client_by_client():
    queue = OrderedQueue(chunks(1, 2))
    _, chunk = queue.next_task(), queue.next_task()
    queue.done(chunk, FAILED, 1)
    a, b = queue.next_task(), queue.next_task()
    assert [clients(task) for task in (a, b)] == [[1], [2]]
    queue.done(a, FAILED, 1)
    assert a.result is FAILED


def test_a_chunk_with_an_input_error_does_not_run_again():
    queue = OrderedQueue(chunks(2))
    chunk = queue.next_task()
    queue.done(chunk, Failed("InputError: write x", "trace", "write x"), 1)
    assert queue.pop_ready() is chunk


@pytest.mark.parametrize("outcome", ["done", "worker lost", "put back"])
def test_tasks_of_an_aborted_run_are_ignored(outcome):
    aborted, queue = OrderedQueue(chunks(1)), OrderedQueue(chunks(1))
    task = aborted.next_task()
    if outcome == "done":
        queue.done(task, "result", 5)
    elif outcome == "worker lost":
        queue.worker_lost(task, "killed")
    else:
        queue.put_back(task)
    assert len(queue.unreleased) == len(queue.unassigned) == 1 and queue.pop_ready() is None

"""A sweep from its first line to its exit code."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from omegaconf import DictConfig

from fedlit import interrupts
from fedlit.plurals import counted
from fedlit.saved_rounds import resume_command
from fedlit.settings.hydra_compat import Ended
from fedlit.sweeps.no_lines import NoLines
from fedlit.sweeps.run_lines import RunLines
from fedlit.sweeps.sweep import Sweep
from fedlit.sweeps.sweep_record import jobs_beside
from fedlit.tracking.terminal_text import relative


def lines_of(sweep: Sweep, progress: str) -> NoLines:
    """What writes a line for each run: nothing under progress=none."""
    return NoLines() if progress == "none" else RunLines(sweep.folder, sweep.plan, _print)


def run_sweep(sweep: Sweep, job: Callable[[DictConfig], Ended], lines: NoLines) -> int:
    """Run the jobs that are not finished.

    Args:
        sweep: what is run.
        job: runs one of them.
        lines: are written as runs end.

    Returns:
        The exit code.
    """
    for words in sweep.plan.doubled:
        _print(f"`{words}` is asked for twice; it is run once.")
    if isinstance(lines, RunLines):
        _print(_opening(sweep))
    try:
        with contextlib.nullcontext() if sweep.plan.runs_here else lines.watching():
            ended = sweep.run(job, _print)
    except interrupts.Stopped:
        _print(f"the sweep is stopped; go on with: {resume_command(sweep.folder)}")
        raise
    from fedlit.sweeps.sweep_end import end_text, exit_code  # reads tables, which take a second to import

    if isinstance(lines, RunLines):
        _print(end_text(sweep.folder, sweep.plan))
    finished = [0 for job in sweep.plan.jobs or () if job.state == "finished"]
    return exit_code([*finished, *(end.code for end in ended)])


def _opening(sweep: Sweep) -> str:
    """Such as `multirun/...: 12 runs, 3 are finished, 1 go on, 8 begin`."""
    place = relative(sweep.folder)
    jobs = sweep.plan.jobs
    if jobs is None:
        return f"{place}: the sweeper chooses its runs"
    states: list[str] = [job.state for job in jobs]
    parts = [counted(len(jobs), "run")]
    if states.count("new") != len(jobs):
        named = {"finished": "are finished", "begun": "go on", "new": "begin"}
        parts += [f"{states.count(state)} {verb}" for state, verb in named.items() if states.count(state)]
    if others := len(jobs_beside(sweep.folder, [job.folder for job in jobs])):
        parts.append(f"beside {others} of earlier commands")
    return f"{place}: {', '.join(parts)}"


def _print(text: str) -> None:
    print(text, flush=True)

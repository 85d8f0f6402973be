"""hydra/launcher=submitit_slurm and submitit_local: a job of submitit for each run of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from hydra.core.utils import JobReturn

from fedlit import interrupts
from fedlit.errors import BUG, InputError, one_line
from fedlit.failure_file import NAME, write_failure
from fedlit.settings.hydra_compat import Ended
from fedlit.settings.overrides import key_of, parse
from fedlit.sweeps.job_process import JobProcess
from fedlit.sweeps.job_returns import job_return


def launch(launcher: Any, jobs: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
    """Run jobs by Hydra's launcher for submitit; what each returned.

    Submitit raises the error of the first job that was lost, and the results of the others are never read. So a lost
    job has failed, and the command waits for the others. Near the end of its time a job saves its run and is submitted
    once more, as often as submitit allows (`JobProcess.requeues`).

    Args:
        launcher: Hydra's SlurmLauncher or LocalLauncher.
        jobs: the words of each job.
        first: the number of the first job.
    """
    import submitit

    _check_one_task(launcher.params)
    is_local = type(launcher).__name__ == "LocalLauncher"
    results = submitit.Job.results

    def results_or_failure(job: Any) -> list[Any]:
        try:
            return results(job)
        except RuntimeError:  # the base of submitit's errors: no result, or one of the job's code
            return [job_return(_Lost(BUG, str(job.paths.stderr)))]

    task = launcher.task_function
    launcher.task_function = JobProcess(task, len(jobs) if is_local else 1, parent=None, requeues=True)
    try:
        with mock.patch.object(submitit.Job, "results", results_or_failure):
            returned = list(launcher.launch(jobs, initial_job_idx=first))
    except RuntimeError as error:
        raise InputError(f"submitit cannot start the jobs: {one_line(error, 300)}") from error
    except interrupts.Stopped:
        print(
            f"jobs that submitit has started may go on without this command; what they print is in "
            f"{Path(str(launcher.params['submitit_folder'])).parent}",
            flush=True,
        )
        raise
    finally:
        launcher.task_function = task
    for words, job in zip(jobs, returned, strict=True):
        end = job.return_value
        if isinstance(end, _Lost):
            _note_failure(Path(str(launcher.config.hydra.sweep.dir)), words, end)
    return returned


@dataclass(frozen=True)
class _Lost(Ended):
    """A job without a result; what it has written last is in a file."""

    file: str


def _check_one_task(params: dict[str, Any]) -> None:
    for key in ("nodes", "tasks_per_node"):
        if params.get(key) not in (None, 1):
            raise InputError(
                f"hydra.launcher.{key}={params[key]}: each task would do the same run; leave it out, and write "
                "engine=processes hydra.launcher.cpus_per_task=<cores> for more cores."
            )


def _note_failure(sweep: Path, words: Sequence[str], lost: _Lost) -> None:
    places = [parse([word])[0].value() for word in words if key_of(parse([word])[0]) == "hydra.sweep.subdir"]
    folder = sweep / str(places[-1]) if places else None
    if folder is not None and folder.is_dir() and not (folder / NAME).exists():
        write_failure(folder, f"its job ended without a result; what it wrote last is in {lost.file}.")

"""How jobs are launched: what fedlit does around each of Hydra's launchers."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from fedlit.sweeps import joblib_jobs, submitit_jobs


def launch(launcher: Launcher, jobs: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
    """Run jobs by Hydra's launcher; what each returned.

    Args:
        launcher: of any kind.
        jobs: the words of each job.
        first: the number of the first job.
    """
    kind = type(launcher).__name__
    if kind == "JoblibLauncher":
        return joblib_jobs.launch(launcher, jobs, first)
    if kind in ("SlurmLauncher", "LocalLauncher"):
        return submitit_jobs.launch(launcher, jobs, first)
    return launcher.launch(jobs, first)

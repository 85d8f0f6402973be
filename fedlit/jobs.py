"""The jobs of a checked command line: one run, or the runs of a sweep. The only file that calls Hydra's main."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from fedlit import interrupts
from fedlit.errors import (
    BUG,
    HUNG_UP,
    INTERRUPTED,
    NOT_WRITTEN,
    REFUSED,
    TERMINATED,
    InputError,
    not_written,
    one_line,
)
from fedlit.failure_file import remove_failure, write_failure
from fedlit.insecure_keys import say_so
from fedlit.log_errors import report_errors_once
from fedlit.quick_imports import LOADING, no_collection
from fedlit.run_log import note, recorded
from fedlit.saved_rounds import saved_rounds, stopped_text
from fedlit.saved_run import SavedRun
from fedlit.settings import folders
from fedlit.settings.classes import check_classes
from fedlit.settings.hydra_compat import Ended
from fedlit.settings.protocols import is_vertical
from fedlit.settings.saved import began_in
from fedlit.settings.start import Start, job_config
from fedlit.sweeps.no_lines import NoLines
from fedlit.sweeps.plan import is_finished
from fedlit.working_folder import command_folder, in_folder

Report = Callable[[Exception | SystemExit, Path, bool], int]
"""`report(error, folder, multirun)` tells of an error that ended a job, and returns its exit code."""


def run_jobs(start: Start, report: Report | None = None) -> int:
    """Run the checked command line; its exit code. `report` is `_report` by default."""
    report = _report if report is None else report
    codes: list[int] = []
    lines = NoLines()
    if start.sweep is not None:
        from fedlit.sweeps.run_sweep import lines_of, run_sweep  # a single run does not wait for these imports

        lines = lines_of(start.sweep, start.progress)

    def job(config: DictConfig) -> Ended:
        record = HydraConfig.get()
        folder = Path(record.runtime.output_dir)
        code: int | None = None
        with recorded(folder):
            try:
                code = _run(start, config, folder, list(record.overrides.task), lines)
                if code in (INTERRUPTED, TERMINATED, HUNG_UP):
                    raise interrupts.Stopped(code - 128)
                if start.multirun:
                    interrupts.check()  # a signal after the last round of the run
            except (Exception, SystemExit) as error:  # sys.exit in the user's code would hide where it stands
                code = report(error, folder, start.multirun)
            except interrupts.Stopped:  # Hydra lets it pass
                if code != 0:  # else it came after the end of the run
                    print(stopped_text(folder, at_once=code is None, in_sweep=start.multirun), flush=True)
                raise
        codes.append(code)
        lines.ended(folder, failed=code != 0)
        return Ended(code)

    job.__module__ = "fedlit.run"  # Hydra names the log of a job after it
    hydra_config = HydraConfig.instance()
    before = hydra_config.cfg
    try:
        if start.single is not None:
            start.single.application.run_composed(start.line.config_name, start.single.config, job)
        elif start.sweep is not None:
            return run_sweep(start.sweep, job, lines)
        else:
            _hand_to_hydra(start, job)
    finally:
        hydra_config.cfg = before  # after the run, the folder of this process is the current one again
        if start.lock is not None:
            start.lock.release()
    return max(codes, default=0)


def _hand_to_hydra(start: Start, job: Callable[[DictConfig], Ended]) -> None:
    """Run Hydra's main on the checked overrides, for a flag such as --cfg."""
    import hydra

    main = hydra.main(version_base="1.3", config_path=str(folders.conf_folder()), config_name=folders.CONFIG_NAME)
    before, sys.argv = sys.argv, [sys.argv[0], *start.flags, *start.overrides]
    try:
        main(job)()
    finally:
        sys.argv = before


def _run(start: Start, config: DictConfig, folder: Path, overrides: list[str], lines: NoLines) -> int:
    """One job: the checks that need its final values and classes, then the experiment."""
    with start.held(folder):
        if start.multirun and is_finished(folder, config):
            return 0
        remove_failure(folder)
        try:
            return _run_locked(start, config, folder, overrides, lines)
        except (Exception, SystemExit) as error:
            if not _is_finished_run(folder):  # else the run is as it was before it was refused to go on
                write_failure(folder, _sentence(error))
            raise


def _is_finished_run(folder: Path) -> bool:
    try:
        return SavedRun(folder).finished
    except InputError:
        return False


def _run_locked(start: Start, config: DictConfig, folder: Path, overrides: list[str], lines: NoLines) -> int:
    if start.begins_again:
        logging.getLogger(__name__).warning("Nothing was saved before this run was stopped: it begins again.")
    with in_folder(command_folder()):
        config = job_config(start, config, overrides, folder)
    say_so(config)
    if "fedlit.experiment" not in sys.modules:
        note(LOADING)
    for handler in logging.getLogger().handlers:
        report_errors_once(handler)
    began = began_in(folder, resumed=config.resume is not None)
    if str(began) not in sys.path:
        sys.path.append(str(began))  # the user's modules, in a run that is resumed from elsewhere
    with no_collection():
        with in_folder(began):
            check_classes(config, overrides)
        run = _loop(config)

    lines.began()
    if start.multirun and config.progress == "auto":
        return run(config, folder, overrides, lines.shown)
    return run(config, folder, overrides)


def _loop(config: DictConfig) -> Callable[..., int]:
    """What runs the rounds: the parties of a vertical protocol, or else clients and a server."""
    if is_vertical(config):
        from fedlit.vertical.experiment import run as run_parties

        return run_parties
    from fedlit.experiment import run

    return run


def _report(error: Exception | SystemExit, folder: Path, multirun: bool) -> int:
    """Write the error to the terminal and to run.log (the logger writes to both)."""
    log = logging.getLogger()
    job = f"{folder}: " if multirun else ""
    unwritten = not_written(error)
    if unwritten is not None:  # run.log may be on the same disk
        print(f"{job}{unwritten}; {saved_rounds(folder, 'make room and ')}", file=sys.stderr, flush=True)
        return NOT_WRITTEN
    if isinstance(error, InputError) or _misfit(error) is not None:
        log.error("%s%s", job, _sentence(error))
        return REFUSED
    log.error("%sthe run failed." if multirun else "%sThe run failed.", job, exc_info=error)
    return BUG


def _sentence(error: Exception | SystemExit) -> str:
    """The error in one sentence, for `failure.txt`."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, SystemExit):
        return f"the code of the run called sys.exit({error.code!r})"
    unwritten = not_written(error)
    return _misfit(error) or (one_line(error) if unwritten is None else f"{unwritten}.")


def _misfit(error: BaseException) -> str | None:
    """The sentence for a torchvision that was built for another torch; its import fails with an unclear error."""
    text = str(error)
    if "torchvision::" not in text and not (isinstance(error, ImportError | OSError) and "torchvision" in text):
        return None
    from importlib.metadata import PackageNotFoundError, version

    installed = []
    for package in ("torch", "torchvision"):
        try:
            installed.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            installed.append(f"no {package}")
    return (
        f"torch and torchvision do not fit together ({' and '.join(installed)} are installed); install a pair that "
        "belongs together: pip install --upgrade torch torchvision."
    )

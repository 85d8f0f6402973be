"""The command: `python -m fedlit.run clients=10 partition=dirichlet`, also installed as `fedlit`.

The exit code is 0, 2 if an input of the user cannot be used (one sentence, no trace), 1 for a bug (its trace), and 130
after Ctrl-C.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fedlit.errors import InputError
from fedlit.settings import folders

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from fedlit.settings.start import Start

REFUSED, BUG, INTERRUPTED = 2, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (that of this process by default) and return the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _add_current_folder()
    try:
        if "--help" in arguments or "-h" in arguments:
            from fedlit.settings.help import help_text

            print(help_text([name for name in arguments if not name.startswith("-")]))
            return 0
        with _no_collection():
            from fedlit.settings.start import prepare

            start = prepare(arguments)
        if start.progress != "none" and "fedlit.experiment" not in sys.modules:
            print("fedlit: loading torch and Lightning", flush=True)  # seconds, in which nothing else is shown
        return _go(start)
    except InputError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `--help | head`: the reader closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _add_current_folder() -> None:
    """Make modules of the current folder importable under both commands."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())


def _go(start: Start) -> int:
    """Run the checked command line; the worst exit code of its jobs."""
    from hydra.core.hydra_config import HydraConfig

    codes: list[int] = []
    process = os.getpid()

    def job(config: DictConfig) -> None:
        record = HydraConfig.get()
        folder = Path(record.runtime.output_dir)
        try:
            code = _run(start, config, folder, list(record.overrides.task))
        except Exception as error:
            if os.getpid() != process:  # another process of a launcher: Hydra has to see the failure
                raise
            code = _report(error, folder if start.multirun else None)
        if code == INTERRUPTED:
            raise KeyboardInterrupt  # Hydra lets it pass, and a sweep ends here
        codes.append(code)

    if start.single is not None:
        start.single.application.run_composed(start.line.config_name, start.single.config, job)
    else:
        _hand_to_hydra(start, job)
    return BUG if BUG in codes else max(codes, default=0)


def _hand_to_hydra(start: Start, job: Callable[[DictConfig], None]) -> None:
    """Run Hydra's main on the checked overrides: a sweep, or a flag such as --cfg."""
    import hydra

    main = hydra.main(version_base="1.3", config_path=str(folders.conf_folder()), config_name=folders.CONFIG_NAME)
    before, sys.argv = sys.argv, [sys.argv[0], *start.flags, *start.overrides]
    try:
        main(job)()
    finally:
        sys.argv = before


def _run(start: Start, config: DictConfig, folder: Path, overrides: list[str]) -> int:
    """One job: the checks that need its final values and classes, then the experiment."""
    from fedlit.settings.classes import check_classes
    from fedlit.settings.start import job_config

    with start.held(folder):
        if start.begins_again:
            logging.getLogger(__name__).warning("Nothing was saved before this run was stopped: it begins again.")
        config = job_config(start, config, overrides)
        with _no_collection():
            check_classes(config)
            from fedlit.experiment import run

        return run(config, folder, overrides)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Import without garbage collection, and keep what was imported out of every later collection.

    torch and Lightning leave a million objects, and hardly any is garbage. Searching them takes a sixth of the import,
    and again as long when the process ends.
    """
    was_enabled, is_first = gc.isenabled(), "fedlit.experiment" not in sys.modules
    gc.disable()
    try:
        yield
        if is_first:  # a process that had imported it before has objects of its own
            gc.freeze()
    finally:
        if was_enabled:
            gc.enable()


def _report(error: Exception, folder: Path | None) -> int:
    """Write the error to the terminal and to run.log (the logger writes to both)."""
    log = logging.getLogger()
    sentence = str(error) if isinstance(error, InputError) else _misfit(error)
    if sentence is not None:
        log.error("%s", sentence if folder is None else f"{folder}: {sentence}")
        return REFUSED
    log.error(
        "The run failed." if folder is None else "%s: the run failed.", *([folder] if folder else []), exc_info=error
    )
    return BUG


def _misfit(error: Exception) -> str | None:
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


if __name__ == "__main__":
    sys.exit(main())

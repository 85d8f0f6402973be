"""`resume=<sweep folder>`: the command line of the sweep's record, in the folder of the sweep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fedlit.errors import InputError
from fedlit.settings.command_line import CommandLine
from fedlit.settings.folders import CONFIG_NAME
from fedlit.settings.overrides import assignment, for_shell, key_of, parse, quoted
from fedlit.settings.resume import MAY_CHANGE
from fedlit.sweeps.same_run import FIXED_IN_STUDY
from fedlit.sweeps.sweep_record import RecordedJob, SweepRecord
from fedlit.working_folder import command_folder, from_command

_OF_THE_FOLDER = ("hydra.sweep.dir", "hydra.sweep.subdir", "hydra.run.dir", "hydra.output_subdir")


def line_of(record: SweepRecord, folder: Path, given: CommandLine) -> CommandLine:
    """The command line that `resume=<sweep folder>` stands in for.

    The words beside it may change `MAY_CHANGE`, and how jobs are launched; in a study they change no part of
    `FIXED_IN_STUDY`.

    Args:
        record: of the sweep.
        folder: of the sweep, absolute.
        given: the command line with `resume=`.

    Raises:
        InputError: a word beside it would change the runs.
    """
    if not given.runs:
        raise InputError(f"resume={folder}: this is a sweep; --cfg and --info show one run, give resume=<one of them>.")
    added = _added(record, folder, given)
    changed = {key_of(override) for override in parse(added)}
    kept = [word for word in record.words if not _sets(word, (*changed, "hydra.sweep.dir"))]
    return replace(
        given,
        flags=[],
        overrides=[*kept, *added, f"hydra.sweep.dir={quoted(str(folder))}"],
        multirun=True,
        config_name=record.config_name,
        config_dir=None if record.config_dir is None else Path(record.config_dir),
    )


def jobs_of(record: SweepRecord, folder: Path, given: CommandLine) -> list[RecordedJob] | None:
    """The jobs of the record, with the words that stand beside `resume=`."""
    if record.jobs is None:
        return None
    added = [text for text in _added(record, folder, given) if not parse([text])[0].is_hydra_override()]
    changed = tuple(key_of(override) for override in parse(added))
    return [
        RecordedJob([*(word for word in job.overrides if not _sets(word, changed)), *added], job.folder)
        for job in record.jobs
    ]


def _added(record: SweepRecord, folder: Path, given: CommandLine) -> list[str]:
    added = []
    fixed = FIXED_IN_STUDY if record.jobs is None else ()
    for override in parse(given.overrides):
        key, text = key_of(override), override.input_line or ""
        if key == "resume":
            continue
        may_change = _is_part(key, MAY_CHANGE)
        if key in _OF_THE_FOLDER or not (may_change or override.is_hydra_override() or key.startswith("hydra/")):
            allowed = ", ".join(part for part in MAY_CHANGE if part not in fixed)
            is_new_value = override.is_sweep_override() or any(swept.lstrip("+") == key for swept in record.swept)
            raise InputError(
                f"{text}: a sweep that goes on may change {allowed} and Hydra's launcher alone; leave it out, or "
                f"{_command_for(record, folder, given, adds_runs=is_new_value)}"
            )
        if _is_part(key, fixed) and text not in record.words:
            raise InputError(
                f"{text}: the runs of this study were chosen by results with other rounds or another rule to stop; "
                "leave it out, or start the study in a new folder."
            )
        if override.is_sweep_override() or any(swept.lstrip("+") == key for swept in record.swept):
            raise InputError(f"{text}: the sweep varies {key}, so that it cannot be changed for all of its runs.")
        added.append(text)
    return added


def _command_for(record: SweepRecord, folder: Path, given: CommandLine, adds_runs: bool) -> str:
    """What a user writes whose words are new values of this sweep, or other settings for all of its runs."""
    if record.jobs is None:
        return "start a study in a new folder."
    words = [override for override in parse(given.overrides) if key_of(override) not in ("resume", *_OF_THE_FOLDER)]
    changed = {key_of(override) for override in words}
    kept = [word for word in record.words if not _sets(word, (*changed, *_OF_THE_FOLDER))]
    texts = [*kept, *(override.input_line or "" for override in words)]
    elsewhere = Path(record.began_in) != command_folder() and Path(record.began_in).is_dir()
    if adds_runs:
        texts.append(assignment("hydra.sweep.dir", str(folder) if elsewhere else from_command(folder)))
    flags = ["-m"]
    flags += [] if record.config_name == CONFIG_NAME else [f"--config-name={record.config_name}"]
    flags += [] if record.config_dir is None else [f"--config-dir={record.config_dir}"]
    command = f"python -m fedlit.run {for_shell(*flags, *texts)}"
    if elsewhere:
        command = f"cd {for_shell(record.began_in)} && {command}"
    return f"{'add runs' if adds_runs else 'start another sweep'} by the whole command: {command}"


def _is_part(key: str, parts: tuple[str, ...]) -> bool:
    return any(f"{key}.".startswith(f"{part}.") for part in parts)


def _sets(word: str, keys: tuple[str, ...]) -> bool:
    return key_of(parse([word])[0]) in keys

"""`resume=<sweep folder>`: the command line of the sweep's record, in the folder of the sweep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hydra.core.override_parser.types import Override

from fedlit.errors import InputError
from fedlit.settings.command_line import CommandLine
from fedlit.settings.folders import CONFIG_NAME
from fedlit.settings.overrides import assignment, for_shell, key_of, parse, quoted, single_overrides
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
            raise InputError(f"{text}: {_why_refused(override, record, folder, given)}")
        if _is_part(key, fixed) and text not in record.words:
            raise InputError(
                f"{text}: the runs of this study were chosen by results with other rounds or another rule to stop; "
                "leave it out, or start the study in a new folder."
            )
        if override.is_sweep_override() or key in map(_plain, record.swept):
            raise InputError(f"{text}: the sweep varies {key}, so that it cannot be changed for all of its runs.")
        added.append(text)
    return added


def _why_refused(override: Override, record: SweepRecord, folder: Path, given: CommandLine) -> str:
    """What a user writes in place of a word that is a new value of this sweep, or another setting of all runs."""
    if record.jobs is not None and (override.is_sweep_override() or key_of(override) in map(_plain, record.swept)):
        command = _whole_command(record, given, folder)
        return f"resume= goes on with the runs of the sweep; add others by the whole command: {command}"
    fixed = FIXED_IN_STUDY if record.jobs is None else ()
    allowed = ", ".join(part for part in MAY_CHANGE if part not in fixed)
    refusal = f"a sweep that goes on may change {allowed} and Hydra's launcher alone; leave it out, or start another"
    if record.jobs is None:
        return f"{refusal} study in a new folder."
    return f"{refusal} sweep by the whole command: {_whole_command(record, given, None)}"


def _whole_command(record: SweepRecord, given: CommandLine, folder: Path | None) -> str:
    """The command of the sweep, with all values of the swept keys and the words beside `resume=`.

    Args:
        folder: of the sweep; None for another one.
    """
    words = [override for override in parse(given.overrides) if key_of(override) not in ("resume", *_OF_THE_FOLDER)]
    changed = {key_of(override) for override in words}
    kept = [word for word in _words(record) if not _sets(word, (*changed, "hydra.sweep.dir"))]
    texts = [*kept, *(override.input_line or "" for override in words)]
    elsewhere = Path(record.began_in) != command_folder() and Path(record.began_in).is_dir()
    if folder is not None:
        texts.append(assignment("hydra.sweep.dir", str(folder) if elsewhere else from_command(folder)))
    flags = ["-m"]
    flags += [] if record.config_name == CONFIG_NAME else [f"--config-name={record.config_name}"]
    flags += [] if record.config_dir is None else [f"--config-dir={record.config_dir}"]
    command = f"python -m fedlit.run {for_shell(*flags, *texts)}"
    return f"cd {for_shell(record.began_in)} && {command}" if elsewhere else command


def _words(record: SweepRecord) -> list[str]:
    """The words of the last command, in which swept keys have the values of earlier commands too."""
    jobs = record.jobs or ()
    words = []
    missing = dict(record.swept)
    for word in record.words:
        override = parse([word])[0]
        values = missing.pop(override.get_key_element(), None)
        has_all = values is None or len(values) == len(single_overrides(override))
        words.append(word if has_all else f"{override.get_key_element()}={','.join(values or ())}")
    return [*words, *(f"{key}={','.join(values)}" for key, values in missing.items() if jobs)]


def _plain(key: str) -> str:
    return key.lstrip("+~")


def _is_part(key: str, parts: tuple[str, ...]) -> bool:
    return any(f"{key}.".startswith(f"{part}.") for part in parts)


def _sets(word: str, keys: tuple[str, ...]) -> bool:
    return key_of(parse([word])[0]) in keys

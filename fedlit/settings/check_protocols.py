"""Words and presets that the chosen protocol does not use are refused: `clients=5` for `protocol=secureboost`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hydra.core.override_parser.types import Override

from fedlit.errors import InputError
from fedlit.settings import folders
from fedlit.settings.closest import listed
from fedlit.settings.comments import GLOBAL, OptionFile, read_file
from fedlit.settings.compose import Composed
from fedlit.settings.misfit import Misfit
from fedlit.settings.option_names import OTHER_SWEEP, choosing
from fedlit.settings.overrides import for_shell, key_of, sign, values
from fedlit.settings.protocols import PROTOCOL, brought_names, place_of, protocols_with, shipped_protocols
from fedlit.settings.user_class import names_class


def check_protocols(overrides: Sequence[Override], jobs: Sequence[Composed]) -> None:
    """Refuse a group or a key at the top level that a run does not use, because of its protocol.

    Args:
        overrides: of the command line.
        jobs: the configuration of each run of a sweep; at least the protocols of these have to be chosen.
    """
    names = _all_names()
    chosen = any(key_of(override) == PROTOCOL for override in overrides)
    for override in overrides:
        key = key_of(override)
        place = _first(place_of(key))
        if key == f"{PROTOCOL}._target_" or (key == PROTOCOL and names_class(override)):
            _check_class(override, jobs)
        lacking = [job for job in jobs if _lacks(job, place)] if place in names else []
        missing = place
        if place in names and not lacking and sign(override) == "" and (inner := _inner_key(key)):
            lacking, missing = [job for job in jobs if _lacks_key(job, key, inner)], inner
        if lacking:
            raise _unused(override, missing, lacking[0], [job for job in jobs if job not in lacking], chosen)


def check_unused(composed: Composed) -> None:
    """Refuse a configuration in which a preset or a primary configuration of the user's sets a group or a key that the
    protocol does not use."""
    names = _all_names()
    for name in map(str, composed.config):
        if name not in names or not _lacks(composed, name):
            continue
        setting = [
            p for p in composed.parts if not p.package and any(_first(e.key) == name for e in p.comments.entries)
        ]
        file = setting[-1].name if setting else "the configuration"
        group, _, option = file.rpartition("/")
        remedy = f"leave {choosing(group, option)} out" if group else "delete it there"
        raise InputError(
            f"{file}: it sets {name}, and {_has_no(composed, name)}; {remedy}, or choose {_alternatives(name)}."
        )


def choosers(options: Sequence[Override]) -> list[Override]:
    """The overrides that may choose a protocol, by themselves or by a preset."""
    names = _all_names()
    return [option for option in options if _first(place_of(key_of(option))) not in names]


Compose = Callable[[Sequence[Override]], list[Composed]]


def explain(
    overrides: Sequence[Override], options: Sequence[Override], compose: Compose, config_dir: Path | None
) -> None:
    """Where a configuration does not compose: refuse what the protocol does not use, if that is the reason.

    Args:
        options: those of `overrides` that choose options.
        compose: gives the configuration of each run of a sweep.
        config_dir: the user's folder of options.
    """
    chosen = choosers(options)
    try:
        jobs = compose(chosen)
    except InputError:
        try:
            jobs = compose([option for option in chosen if key_of(option) == PROTOCOL])
        except InputError:
            return  # another reason
        shipped = folders.conf_folder()
        _check_presets(chosen, jobs, [shipped] if config_dir is None else [config_dir, shipped])
        return
    check_protocols(overrides, jobs)


def _check_presets(options: Sequence[Override], jobs: Sequence[Composed], places: Sequence[Path]) -> None:
    """Refuse `experiment=lecture`, which chooses a partition, beside a protocol without one."""
    names = _all_names()
    by_word = any(key_of(option) == PROTOCOL for option in options)
    for option in options:
        for value in values(option):
            files = [folder / option.key_or_group / f"{value}.yaml" for folder in places]
            of_preset = _places_of(next((file for file in files if file.is_file()), None))
            if PROTOCOL in of_preset and not by_word:
                continue
            for place in (place for place in of_preset if place in names):
                job = next((job for job in jobs if _lacks(job, place)), None)
                if job is not None:
                    word = choosing(option.key_or_group, str(value))
                    advice = "leave one of the two out" if by_word else f"choose {_alternatives(place)}"
                    raise InputError(f"{word}: it chooses an option of {place}, and {_has_no(job, place)}; {advice}.")


def _places_of(preset: Path | None) -> list[str]:
    """The places whose options a preset chooses; none of a file that is no YAML, of which Hydra has the reason."""
    chosen: tuple[str, ...] = ()
    if preset is not None:
        with suppress(InputError):
            chosen = read_file(preset).defaults
    return [place_of(name.removeprefix("override ").lstrip("/")) for name in chosen]


def _unused(override: Override, name: str, job: Composed, having: Sequence[Composed], chosen: bool) -> Misfit:
    text = override.input_line or ""
    if having:
        others = dict.fromkeys(str(other.choices[PROTOCOL]) for other in having)
        written = f"{PROTOCOL}={','.join(others)}"
        lacking = choosing(PROTOCOL, str(job.choices[PROTOCOL]))
        return Misfit(
            text, f"the runs with {lacking} have no {name}", [], f"write {for_shell(written, text)} {OTHER_SWEEP}"
        )
    advice = "leave the word out" if chosen else f"leave the word out, or choose {_alternatives(name)}"
    return Misfit(text, _has_no(job, name), [], f"{advice}.")


def _has_no(job: Composed, name: str) -> str:
    return f"{choosing(PROTOCOL, str(job.choices[PROTOCOL]))} has no {name}"


def _alternatives(name: str) -> str:
    protocols = list(protocols_with(_first(name), folders.conf_folder()))
    having = [protocol for protocol in protocols if name in _shipped_keys(protocol)] if "." in name else protocols
    return listed(choosing(PROTOCOL, protocol) for protocol in having)


def _check_class(override: Override, jobs: Sequence[Composed]) -> None:
    """Refuse a class of the user's in place of the round loop, which is no class."""
    job = next((job for job in jobs if job.protocol is not None and f"{PROTOCOL}._target_" not in job.keys), None)
    if job is None:
        return
    classes = [name for name, file in _shipped().items() if any(e.key == "_target_" for e in file.entries)]
    example = f"{PROTOCOL}={classes[0]}" if classes else f"{PROTOCOL}=<option>"
    raise Misfit(
        override.input_line or "",
        f"{choosing(PROTOCOL, str(job.choices[PROTOCOL]))} is no class that another one can take the place of",
        [],
        f"choose an option whose groups your class uses, {for_shell(example, override.input_line or '')}.",
    )


def _lacks(job: Composed, name: str) -> bool:
    return job.protocol is not None and name not in brought_names(job.protocol.comments)


def _lacks_key(job: Composed, key: str, inner: str) -> bool:
    if job.protocol is None or key in job.keys:
        return False
    return inner not in _keys(job.protocol.comments)


def _inner_key(key: str) -> str | None:
    """`data.public`, if a protocol brings it and other keys of the group come from its options."""
    return key if any(key in _keys(file) for file in _shipped().values()) and "." in key else None


def _keys(file: OptionFile) -> set[str]:
    return {entry.key for entry in file.entries} if file.package == GLOBAL else set()


def _shipped_keys(protocol: str) -> set[str]:
    return _keys(_shipped()[protocol])


def _shipped() -> dict[str, OptionFile]:
    return shipped_protocols(folders.conf_folder())


def _all_names() -> set[str]:
    """The names that some protocol brings."""
    return {name for file in _shipped().values() for name in brought_names(file)}


def _first(name: str) -> str:
    return name.partition(".")[0]

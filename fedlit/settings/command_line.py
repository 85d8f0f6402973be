"""The command line in two parts: Hydra's flags, and the overrides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from fedlit.errors import InputError
from fedlit.settings.closest import normalised, slips
from fedlit.settings.folders import CONFIG_NAME
from fedlit.settings.hydra_compat import flags_parser
from fedlit.settings.known_keys import KEYS
from fedlit.settings.overrides import for_shell


@dataclass(frozen=True)
class CommandLine:
    """What was asked for."""

    flags: list[str]
    overrides: list[str]
    multirun: bool
    runs: bool  # False for --cfg, --info: overrides are checked and nothing is run
    checks_overrides: bool  # False for --hydra-help, --shell-completion
    config_name: str
    config_dir: Path | None


def read(arguments: Sequence[str]) -> CommandLine:
    """Read a command line; flags may stand anywhere among the overrides. InputError for a flag that is not known."""
    parser = flags_parser()
    parser.prog = "fedlit"
    parser.error = _refuse  # type: ignore[method-assign]  # argparse would print its usage, eight lines of flags
    try:
        args = parser.parse_intermixed_args(list(arguments))
    except InputError:
        _refuse_unknown(arguments, set(parser._option_string_actions))
        raise
    if args.config_path is not None:
        raise InputError("--config-path takes the place of every option of fedlit; write --config-dir to add your own.")
    if args.experimental_rerun is not None:
        raise InputError("--experimental-rerun is not supported; write resume=<run folder> to go on with a run.")
    if args.resolve and args.cfg is None:
        raise InputError("--resolve goes with --cfg; write --cfg job --resolve.")
    asked = [f"--{name}" for name in ("run", "multirun", "cfg", "info", "shell_completion") if getattr(args, name)]
    if len(asked) > 1:
        raise InputError(f"{' and '.join(asked)} do not go together; write one of them.")
    overrides = list(args.overrides)
    flags = list(arguments)
    for override in overrides:
        flags.remove(override)
    return CommandLine(
        flags=flags,
        overrides=overrides,
        multirun=args.multirun or "hydra.mode=MULTIRUN" in overrides,
        runs=args.cfg is None and args.info is None and not args.hydra_help and not args.shell_completion,
        checks_overrides=not args.hydra_help and not args.shell_completion,
        config_name=args.config_name or CONFIG_NAME,
        config_dir=None if args.config_dir is None else Path(args.config_dir).expanduser(),
    )


def _refuse(message: str) -> NoReturn:
    raise InputError(f"{message}; --help lists the flags.")


def _refuse_unknown(words: Sequence[str], flags: set[str]) -> None:
    """Refuse `--num-rounds 3` or `-lr 0.1`, the flags of other programs, with the key that is meant."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        flag, _, value = word.partition("=")
        if not flag.strip("-") or not flag.startswith("-") or flag in flags:
            continue
        if not value and "=" not in following and not following.startswith("-"):
            value = following
        if len(flag) > 5 and (near := slips(flag, flags)):
            raise InputError(f"{word}: there is no flag {flag}; did you mean {near[0]}?")
        name = KEYS.get(normalised(flag), flag.strip("-").replace("-", "_"))
        assigned = f"{name}={value or '<value>'}"
        raise InputError(
            f"{word}: there is no flag {flag}; keys are written without dashes, "
            f"{for_shell(assigned)}, and --help lists both."
        )

"""From a configuration to a run of parties: build the objects, share the columns out, refuse, run the rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from fedlit import interrupts
from fedlit.checkpoint import saved_bits
from fedlit.data import ColumnTable, DataSource
from fedlit.early_stopping import EarlyStopping, go_on
from fedlit.errors import InputError
from fedlit.evaluation.direction import KNOWN
from fedlit.experiment_data import load_data
from fedlit.experiment_loggers import all_loggers, chosen_loggers
from fedlit.experiment_rounds import run_rounds
from fedlit.settings.classes import build_in
from fedlit.settings.saved import began_in, saved_files
from fedlit.tracking.metrics_file import NAME, read
from fedlit.tracking.targets import Targets
from fedlit.vertical.about import describe, protocol_name
from fedlit.vertical.alignment import Alignment, Same
from fedlit.vertical.baselines import baselines, compared
from fedlit.vertical.chosen_engine import chosen_engine
from fedlit.vertical.ciphers import Plain
from fedlit.vertical.columns import table_of, unevenness
from fedlit.vertical.engine import Plan
from fedlit.vertical.numeric_threads import set_threads
from fedlit.vertical.parties_loop import PartiesLoop
from fedlit.vertical.party_checkpoints import PartyCheckpoints
from fedlit.vertical.party_data import GUEST, PartyData
from fedlit.vertical.protocol import Protocol
from fedlit.vertical.rounds import new_state
from fedlit.vertical.sharing import digests, in_common, shared_out

_KINDS = {"binary": "two classes", "regression": "numbers"}


def run(config: DictConfig, folder: Path, overrides: list[str], shown: str | None = None) -> int:
    """Run the parties in a run folder, from the start or from the newest checkpoint.

    Args:
        config: the configuration of the run, already checked.
        folder: the run folder, already locked.
        overrides: the words of the command line that it was composed of.
        shown: how progress is shown, in place of `progress=`.

    Returns:
        The exit code: 0, or `INTERRUPTED`, `TERMINATED` or `HUNG_UP` after a signal.
    """
    with ExitStack() as until_end:
        return _run(config, folder, overrides, shown, until_end)


def _run(config: DictConfig, folder: Path, overrides: list[str], shown: str | None, until_end: ExitStack) -> int:
    chosen = chosen_loggers(config)
    start_folder = began_in(folder, resumed=config.resume is not None)
    make = partial(build_in, start_folder)
    protocol: Protocol = make(config.protocol, "protocol")
    cipher, alignment, columns = (make(config[key], key) for key in ("cipher", "alignment", "columns"))
    engine = chosen_engine(config.engine)
    cipher.check()
    alignment.check()
    stop_options = {name: config.stop[name] for name in ("metric", "patience", "target")}
    early_stopping, targets = EarlyStopping(**stop_options), Targets(config.targets, KNOWN)
    early_stopping.check_options(KNOWN)
    before = saved_bits(folder)
    threads = int(before.get("threads") or config.threads or 1)
    until_end.enter_context(set_threads(threads))

    source, _ = load_data(config.data, 1, start_folder)
    table = checked_table(source, protocol)
    data = shared_out(table, columns, config.seed)
    check_names(list(data), protocol)
    check_people(data, alignment)
    plan = Plan(protocol, cipher, alignment, tuple(name for name in data if name != GUEST), table.task, threads)
    protocol.check(plan.task, {name: part.columns for name, part in data.items()}, cipher)
    bits = {"threads": threads, "data": digests(data), "rounds": config.rounds, "stop": stop_options}
    check_same_columns(folder, before.get("data"), bits["data"])

    interval, keep = config.checkpoint.every, config.checkpoint.keep
    checkpoints = PartyCheckpoints(folder, saved_files(config, overrides), interval, keep, plan.parties, bits)
    state = checkpoints.load() or new_state(plan)
    go_on(state, *(before.get(key) not in (None, bits[key]) for key in ("stop", "rounds")))
    loggers = all_loggers(config, False, chosen, shown)
    about = describe(config, folder, source.name, plan, data, state.round)
    until_end.enter_context(interrupts.handled())  # before it, a signal ends the command at once
    until_end.enter_context(engine)
    early_stopping.warn_of_target(targets.directions)
    targets.warn_of_values()
    if state.round < config.rounds and state.stopped is None:
        engine.start(plan, data, plan.ledger())
    afterwards = partial(_baselines, plan, data, table, config.rounds, folder)
    loop = PartiesLoop(
        engine,
        state,
        config.rounds,
        loggers,
        checkpoints,
        early_stopping,
        folder,
        afterwards if config.protocol.get("baselines") else dict,
    )
    return run_rounds(loop, loggers, about, early_stopping, targets)


def checked_table(source: DataSource, protocol: Protocol) -> ColumnTable:
    """The named columns of the data, which fit the protocol's task.

    Raises:
        InputError: there are none, or the protocol cannot learn such a target.
    """
    table = table_of(source, protocol_name(protocol))
    if table.task not in protocol.tasks:
        fits = " or ".join(_KINDS[task] for task in protocol.tasks)
        raise InputError(
            f"protocol={protocol_name(protocol)} learns a target of {fits}, and that of {table.name} is of "
            f"{_KINDS[table.task]}; write another protocol, or other data."
        )
    return table


def check_names(parties: Sequence[str], protocol: Protocol) -> None:
    """
    Raises:
        InputError: a party with columns has the name of a helper.
    """
    for name in parties:
        if name in protocol.helpers:
            raise InputError(
                f"columns.parties: {name} is a party without columns in protocol={protocol_name(protocol)}; give the "
                "party with columns another name, such as bank."
            )


def check_people(data: Mapping[str, PartyData], alignment: Alignment) -> None:
    """
    Raises:
        InputError: the parties have nobody in common, or alignment=none would join rows of different people.
    """
    common = in_common(data)
    for name, part in data.items():
        same = all(np.array_equal(getattr(part, ids), getattr(common[name], ids)) for ids in ("train_ids", "test_ids"))
        if not same and isinstance(alignment, Same):
            raise InputError(
                f"alignment=none: {name} has people that are not with all parties, or another order of people; write "
                "alignment=ecdh, which finds the people in common."
            )


def check_same_columns(folder: Path, before: Mapping[str, str] | None, now: Mapping[str, str]) -> None:
    """InputError if a run would go on with other columns, people or values than it began with."""
    names = () if before is None else dict.fromkeys([*now, *before])
    different = [name for name in names if before is not None and before.get(name) != now.get(name)]
    if different:
        raise InputError(
            f"resume={folder}: {different[0]} holds other columns, people or values than when the run began; give it "
            "the same data again, or start a fresh run."
        )


def _baselines(
    plan: Plan, data: Mapping[str, PartyData], table: ColumnTable, rounds: int, folder: Path
) -> dict[str, Any]:
    """Entries of the summary."""
    rows = read(folder / NAME)
    measured = baselines(plan, data, rounds, Plain())
    shares = {name: part.columns for name, part in data.items()}
    return {
        "baselines": measured,
        "split": {
            **compared(rows[-1] if rows else {}, measured),
            "columns": {name: len(part) for name, part in shares.items()},
            "importance": unevenness(table, shares),
        },
    }

"""The loop of parties: setup, then rounds; after each one predict, record, save. It names no protocol and no cipher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fedlit import interrupts
from fedlit.early_stopping import NEVER, EarlyStopping
from fedlit.evaluation.direction import KNOWN
from fedlit.evaluation.headline import best_row, choosing_metric
from fedlit.metric_names import Row, global_metric, party_fact
from fedlit.stop import Stop, stop_noted
from fedlit.stopwatch import Stopwatch
from fedlit.tracking import Logger
from fedlit.vertical.engine import ALIGN, PREDICT, ROUND, SETUP, Engine, PhaseEnd, Plan
from fedlit.vertical.party import Facts
from fedlit.vertical.party_checkpoints import PartyCheckpoints
from fedlit.vertical.party_data import GUEST
from fedlit.vertical.state import EMPTY, PartiesState


def new_state(plan: Plan) -> PartiesState:
    """The state before round 1: each party keeps nothing."""
    return PartiesState(0, dict.fromkeys(plan.parties, EMPTY))


def cooperate(
    engine: Engine,
    state: PartiesState,
    rounds: int,
    logger: Logger,
    checkpoints: PartyCheckpoints | None = None,
    early_stopping: EarlyStopping = NEVER,
    folder: Path | None = None,
) -> PartiesState:
    """Run the remaining rounds, or those until a Stop, whose reason is then in `state.stopped`.

    `state` is updated in place, after all parties have come to the end of a round and of its prediction. A signal or a
    Stop that comes earlier drops the round.

    Args:
        rounds: the number of the last round.
        folder: of the run, in which the ledger lies; None: it is not written.

    Raises:
        Interrupted: a signal came (Ctrl-C, SIGTERM, SIGHUP).
    """
    if state.round >= rounds or state.stopped is not None:
        return state
    ledger = engine.ledger
    if folder is not None:
        ledger.open(folder, state.round)
    with stop_noted(state):
        aligned = engine.phase(ALIGN, state.round, state.parties)
        ready = engine.phase(SETUP, state.round, aligned.states)
        ledger.keep()
        parties = ready.states
        first = {} if state.round else fact_row(aligned.facts) | fact_row(ready.facts)
        while state.round < rounds and state.stopped is None:
            interrupts.check()
            watch, number = Stopwatch(), state.round + 1
            try:
                trained = engine.phase(ROUND, number, parties)
                watch.lap("round")
                measured = predicted(engine, number, trained, state)
                watch.lap("predict")
            except BaseException:
                ledger.drop()
                raise

            row = measures(engine, measured.facts) | first | fact_row(trained.facts) | others(engine, measured.facts)
            first, travelled = {}, ledger.row()
            state.parties, state.round = measured.states, number
            parties = state.parties
            state.seconds += watch.total
            state.bytes = {name: state.bytes.get(name, 0) + int(size) for name, size in travelled.items()}
            row |= travelled | watch.row()
            note_if_best(state, row)
            ledger.keep()
            with stop_noted(state):
                logger.round(number, row, {})
            with stop_noted(state):
                early_stopping.check(state, row, KNOWN)
            if checkpoints is not None:
                checkpoints.save_if_due(state)
    return state


def predicted(engine: Engine, number: int, trained: PhaseEnd, state: PartiesState) -> PhaseEnd:
    """The end of `predict`; after a Stop, which is noted in the state, that of the round, without facts."""
    try:
        return engine.phase(PREDICT, number, trained.states)
    except Stop as stop:
        state.stopped = stop.reason
        return PhaseEnd(trained.states, {})


def measures(engine: Engine, facts: Mapping[str, Facts]) -> Row:
    """What the guest has measured of the prediction, the protocol's headline first."""
    names = engine.plan.protocol.measures[engine.plan.task]
    of_guest = facts.get(GUEST, {})
    return {global_metric("test", name): of_guest[name] for name in names if name in of_guest}


def others(engine: Engine, facts: Mapping[str, Facts]) -> Row:
    """The facts of a prediction that are no measures."""
    names = engine.plan.protocol.measures[engine.plan.task]
    of_guest = {name: value for name, value in facts.get(GUEST, {}).items() if name not in names}
    return fact_row({**facts, GUEST: of_guest} if facts else {})


def fact_row(facts: Mapping[str, Facts]) -> Row:
    """`party/<party>/<fact>` -> value."""
    return {party_fact(party, name): value for party, numbers in facts.items() for name, value in numbers.items()}


def note_if_best(state: PartiesState, row: Row) -> None:
    """Keep the row's headline in `state.best` if it is better than before."""
    choice = choosing_metric([row])
    if choice is None:
        return
    name, before = choice[0], state.best
    if before is not None and name in before and best_row([before, row], name) is before:
        return
    state.best = {"round": state.round, name: row[name]}

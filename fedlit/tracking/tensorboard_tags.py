"""Under which tags TensorBoard gets the numbers of a round, and which it gets.

TensorBoard sorts its groups of cards by name, and a group is the part of a tag before the first slash. `clients/`, with
up to 84 cards, and counts such as `cohort/asked` would stand before the accuracy of the global model. So they have
other names that come after `global`: each model of clients has a group, `clients/used/accuracy/mean` is
`on clients: used/accuracy/mean`, and `cohort/asked` is `round: cohort/asked`.
"""

from __future__ import annotations

from collections.abc import Iterator

from fedlit.metric_names import (
    BYTES_UP,
    COHORT_ASKED,
    GLOBAL,
    PERSONAL,
    USED,
    Row,
    client_group,
    clients_evaluated,
)

_OF_CLIENTS = client_group("")  # what the names of all models of clients begin with
_OF_ROUNDS = {name.partition("/")[0] for name in (COHORT_ASKED, BYTES_UP)}
_FEWEST_FOR_A_TENTH = 20  # of fewer clients, the worst tenth is the worst client


def tag(name: str) -> str:
    """
    >>> tag("clients/used/accuracy/mean"), tag("cohort/asked"), tag("train/loss")
    ('on clients: used/accuracy/mean', 'round: cohort/asked', 'train/loss')
    """
    if name.startswith(_OF_CLIENTS):
        return f"on clients: {name.removeprefix(_OF_CLIENTS)}"
    return f"round: {name}" if name.partition("/")[0] in _OF_ROUNDS else name


def without_equal(row: Row) -> Row:
    """The row without numbers that another card shows in every round: those of the model that clients use, which is the
    personal or else the global one, under its other name, and the worst tenth of fewer than 20 clients."""
    left_out = {name for name, other in _pairs(row) if other in row and _are_equal(row[name], row[other])}
    return {name: value for name, value in row.items() if name not in left_out}


def _pairs(row: Row) -> Iterator[tuple[str, str]]:
    """(name, name of the number that is the same by its definition)."""
    used, personal = f"{client_group(USED)}/", f"{client_group(PERSONAL)}/"
    other = personal if any(name.startswith(personal) for name in row) else f"{client_group(GLOBAL)}/"
    for name in row:
        if name.startswith(other):
            yield name, used + name.removeprefix(other)
        elif name.endswith("/worst_decile") and "/validation_" not in name:
            model = name.split("/")[1]
            if row.get(clients_evaluated(model), _FEWEST_FOR_A_TENTH) < _FEWEST_FOR_A_TENTH:
                yield name, f"{name.removesuffix('_decile')}"


def _are_equal(first: float, second: float) -> bool:
    return first == second or (first != first and second != second)

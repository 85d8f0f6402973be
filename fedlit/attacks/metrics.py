"""The metrics of an attack in one round."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fedlit import metric_names
from fedlit.attacks.malicious import MaliciousClients
from fedlit.metric_names import Row


def attack_row(
    malicious: MaliciousClients,
    is_active: bool,
    cohort: Sequence[int],
    arrived: Sequence[int],
    excluded: Collection[int] | None,
) -> Row:
    """
    With B the malicious clients that arrived and E those that the reduction excluded, precision is |B & E| / |E| and
    recall |B & E| / |B|. A ratio over no client is left out; so are both in rounds without an attack, where malicious
    clients do what honest ones do.

    >>> row = attack_row(MaliciousClients([1, 2], clients=6), True, [0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [2, 4])
    >>> row["attack/drawn"], row["attack/precision"], row["attack/recall"]
    (2, 0.5, 0.5)

    Args:
        malicious: all malicious clients.
        is_active: they attack in this round.
        cohort: the clients that were asked.
        arrived: those whose messages were reduced.
        excluded: those whose messages have no part in the reduced one; None where the reduction excludes nobody.
    """
    drawn = [client for client in cohort if client in malicious] if is_active else []
    came = [client for client in arrived if client in malicious] if is_active else []
    row: Row = {metric_names.ATTACK_DRAWN: len(drawn), metric_names.ATTACK_ARRIVED: len(came)}
    if excluded is None or not is_active:
        return row
    caught = len([client for client in excluded if client in malicious])
    if excluded:
        row[metric_names.ATTACK_PRECISION] = caught / len(excluded)
    if came:
        row[metric_names.ATTACK_RECALL] = caught / len(came)
    return row

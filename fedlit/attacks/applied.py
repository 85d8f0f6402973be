"""An attack in the pipeline of a run."""

from __future__ import annotations

from fedlit.attacks.base import Attack, NoAttack
from fedlit.attacks.uplink_attack import NAME
from fedlit.data.source import DataSource
from fedlit.errors import InputError
from fedlit.messages.reductions.base import Reduction
from fedlit.messages.stages.base import Stage


def ready_attack(attack: Attack, data: DataSource, clients: int, seed: int, algorithm: str, pooled: bool) -> Attack:
    """The attack with its malicious clients. If there are none, `NoAttack`, which measures the success of the attack
    all the same: the baseline.

    Args:
        clients: N, the number of all clients.
        pooled: one client trains on the shards of all.

    Raises:
        InputError: the attack cannot be made in this run.
    """
    attack.setup(clients, seed)
    attack.check(data, algorithm, pooled)
    return attack if len(attack.malicious) else NoAttack(attack)


def with_attack(attack: Attack, uplink: dict[str, Stage], reduction: Reduction) -> tuple[dict[str, Stage], Reduction]:
    """The stages of a run with that of its attack, and its reduction, within the collusion of malicious clients if
    there is one. The attack is the first stage, or the last one if it changes messages on their way.

    Raises:
        InputError: a stage has the name of the attack's, the server does not see the clients' own messages, or messages
            are sent in several trips.
    """
    around = attack.collusion(reduction)
    several = [name for name, stage in uplink.items() if stage.trips > 1]
    if around is not reduction and several:
        raise InputError(
            f"attack: {attack} needs the clients' own messages, and of those of uplink.{several[0]} the server sees "
            f"means only; write an attack of single clients, such as attack=sign_flip, or leave {several[0]} out."
        )
    stage = attack.stage()
    if stage is None:
        return uplink, around
    if NAME in uplink:
        raise InputError(
            f"uplink.{NAME}: the stage of attack= has this name; give yours another, such as uplink.my_{NAME}."
        )
    if stage.place == "transit" and several:
        raise InputError(
            f"attack: {attack} changes messages after the last stage, and uplink.{several[0]} has to be the last one, "
            f"because it sends several messages a round; write another attack, or leave {several[0]} out."
        )
    return ({**uplink, NAME: stage} if stage.place == "transit" else {NAME: stage, **uplink}), around

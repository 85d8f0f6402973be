"""An attack in the pipeline of a run."""

from __future__ import annotations

from fedlit.attacks.base import Attack
from fedlit.attacks.uplink_attack import NAME
from fedlit.errors import InputError
from fedlit.messages.reductions.base import Reduction
from fedlit.messages.stages.base import Stage


def with_attack(attack: Attack, uplink: dict[str, Stage], reduction: Reduction) -> tuple[dict[str, Stage], Reduction]:
    """The stages of a run with that of its attack, which is the first one, and its reduction, within the collusion of
    malicious clients if there is one.

    Raises:
        InputError: a stage has the name of the attack's, or the server does not see the clients' own messages.
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
    return {NAME: stage, **uplink}, around

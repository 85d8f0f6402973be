"""Attacks: what malicious clients do while training. Like aggregators and messages, this room knows no trainer."""

from fedlit.attacks.alie import Alie
from fedlit.attacks.applied import ready_attack, with_attack
from fedlit.attacks.backdoor import Backdoor
from fedlit.attacks.base import Attack, NoAttack
from fedlit.attacks.collusion import CollusiveAttack, Known
from fedlit.attacks.data_attack import DataAttack
from fedlit.attacks.distance_bound import MinMax, MinSum
from fedlit.attacks.free_rider import FreeRider
from fedlit.attacks.gaussian import Gaussian
from fedlit.attacks.ipm import InnerProductManipulation
from fedlit.attacks.label_flip import LabelFlip
from fedlit.attacks.man_in_the_middle import ManInTheMiddle
from fedlit.attacks.mimic import Mimic
from fedlit.attacks.replay import Replay
from fedlit.attacks.scaling import Scaling
from fedlit.attacks.sign_flip import SignFlip
from fedlit.attacks.transit import TransitAttack
from fedlit.attacks.uplink_attack import UplinkAttack
from fedlit.attacks.wrong_statistics import Statistics

__all__ = [
    "Alie",
    "Attack",
    "Backdoor",
    "CollusiveAttack",
    "DataAttack",
    "FreeRider",
    "Gaussian",
    "InnerProductManipulation",
    "Known",
    "LabelFlip",
    "ManInTheMiddle",
    "Mimic",
    "MinMax",
    "MinSum",
    "NoAttack",
    "Replay",
    "Scaling",
    "SignFlip",
    "Statistics",
    "TransitAttack",
    "UplinkAttack",
    "ready_attack",
    "with_attack",
]

"""Stages that messages pass between client and server."""

from fedlit.messages.stages.base import Stage
from fedlit.messages.stages.clip import Clip
from fedlit.messages.stages.half import Half
from fedlit.messages.stages.powersgd import PowerSgd
from fedlit.messages.stages.qsgd import Qsgd
from fedlit.messages.stages.randomk import RandomK
from fedlit.messages.stages.seal import Seal
from fedlit.messages.stages.signsgd import SignSgd
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.stages.terngrad import TernGrad
from fedlit.messages.stages.topk import TopK

__all__ = [
    "Stage",
    "StageClient",
    "Clip",
    "Half",
    "PowerSgd",
    "Qsgd",
    "RandomK",
    "Seal",
    "SignSgd",
    "TernGrad",
    "TopK",
]

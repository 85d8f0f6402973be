"""Stages that the broadcast passes on its way to the clients."""

from fedlit.messages.downlink.base import DownlinkStage
from fedlit.messages.downlink.half import Half
from fedlit.messages.downlink.topk import TopK

__all__ = ["DownlinkStage", "Half", "TopK"]

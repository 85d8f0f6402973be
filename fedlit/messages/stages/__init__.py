"""Stages that messages pass between client and server."""

from fedlit.messages.stages.base import Stage
from fedlit.messages.stages.stage_client import StageClient

__all__ = ["Stage", "StageClient"]

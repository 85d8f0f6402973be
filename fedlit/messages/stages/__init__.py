"""Stages that messages pass between client and server."""

from fedlit.messages.stages.base import Stage

__all__ = ["Stage"]

"""Stages that messages pass on their way."""

from fedlit.messages.stages.base import Stage

__all__ = ["Stage"]

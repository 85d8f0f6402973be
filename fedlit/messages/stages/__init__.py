"""Stages that messages pass on their way up."""

from fedlit.messages.stages.base import Stage

__all__ = ["Stage"]

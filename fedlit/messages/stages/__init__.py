"""Stages that messages pass on their way up."""

from fedlit.messages.stages.base import Upload

__all__ = ["Upload"]

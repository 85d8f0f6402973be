"""Stages that messages pass on their way up."""

from fedlit.messages.uploads.base import Upload

__all__ = ["Upload"]

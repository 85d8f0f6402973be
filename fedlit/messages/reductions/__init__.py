"""Reductions of the messages of a round to one message."""

from fedlit.messages.reductions.all import All
from fedlit.messages.reductions.base import Reduced, Reduction
from fedlit.messages.reductions.mean import Mean

__all__ = ["All", "Mean", "Reduced", "Reduction"]

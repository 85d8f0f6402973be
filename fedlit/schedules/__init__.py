"""Schedules of learning rates over rounds, for the clients and for the server."""

from fedlit.schedules.base import RoundSchedule, check_schedule, checked_factor
from fedlit.schedules.decays import Constant, Cosine, Exponential, Step

__all__ = ["Constant", "Cosine", "Exponential", "RoundSchedule", "Step", "check_schedule", "checked_factor"]

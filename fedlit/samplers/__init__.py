"""Samplers: which clients a round asks."""

from fedlit.samplers.all import All
from fedlit.samplers.base import Probe, Sampler, checked_choice, checked_clients, checked_expected, checked_state
from fedlit.samplers.poisson import Poisson
from fedlit.samplers.uniform import Uniform

__all__ = [
    "All",
    "Poisson",
    "Probe",
    "Sampler",
    "Uniform",
    "checked_choice",
    "checked_clients",
    "checked_expected",
    "checked_state",
]

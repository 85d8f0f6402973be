"""Federated algorithms, one a file. `Aggregator` is their contract."""

from fedlit.aggregators.base import Aggregator
from fedlit.aggregators.centralized import Centralized
from fedlit.aggregators.fedavg import FedAvg
from fedlit.aggregators.fedper import FedPer
from fedlit.aggregators.fedprox import FedProx
from fedlit.aggregators.local import Local
from fedlit.aggregators.partial import Partial

__all__ = ["Aggregator", "Centralized", "FedAvg", "FedPer", "FedProx", "Local", "Partial"]

"""Federated algorithms, one a file. `Aggregator` is their contract."""

from fedlit.aggregators.base import Aggregator
from fedlit.aggregators.centralized import Centralized
from fedlit.aggregators.cfl import CFL
from fedlit.aggregators.fedamp import FedAMP
from fedlit.aggregators.fedavg import FedAvg
from fedlit.aggregators.fedfomo import FedFomo
from fedlit.aggregators.fedper import FedPer
from fedlit.aggregators.fedprox import FedProx
from fedlit.aggregators.ifca import IFCA
from fedlit.aggregators.local import Local
from fedlit.aggregators.partial import Partial

__all__ = [
    "CFL",
    "IFCA",
    "Aggregator",
    "Centralized",
    "FedAMP",
    "FedAvg",
    "FedFomo",
    "FedPer",
    "FedProx",
    "Local",
    "Partial",
]

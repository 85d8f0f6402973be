"""Federated algorithms, one a file. `Aggregator` is their contract."""

from fedlit.aggregators.apfl import APFL
from fedlit.aggregators.base import Aggregator
from fedlit.aggregators.centralized import Centralized
from fedlit.aggregators.ditto import Ditto
from fedlit.aggregators.fedala import FedALA
from fedlit.aggregators.fedavg import FedAvg
from fedlit.aggregators.fedbabu import FedBABU
from fedlit.aggregators.fedbn import FedBN
from fedlit.aggregators.fedper import FedPer
from fedlit.aggregators.fedprox import FedProx
from fedlit.aggregators.fedrep import FedRep
from fedlit.aggregators.lgfedavg import LgFedAvg
from fedlit.aggregators.local import Local
from fedlit.aggregators.partial import Partial
from fedlit.aggregators.perfedavg import PerFedAvg
from fedlit.aggregators.pfedme import PFedMe

__all__ = [
    "Aggregator",
    "APFL",
    "Centralized",
    "Ditto",
    "FedALA",
    "FedAvg",
    "FedBABU",
    "FedBN",
    "FedPer",
    "FedProx",
    "FedRep",
    "LgFedAvg",
    "Local",
    "Partial",
    "PerFedAvg",
    "PFedMe",
]

"""Federated algorithms, one a file. `Aggregator` is their contract."""

from fedlit.aggregators.base import Aggregator
from fedlit.aggregators.centralized import Centralized
from fedlit.aggregators.fedadagrad import FedAdagrad
from fedlit.aggregators.fedadam import FedAdam
from fedlit.aggregators.fedavg import FedAvg
from fedlit.aggregators.fedavgm import FedAvgM
from fedlit.aggregators.feddyn import FedDyn
from fedlit.aggregators.fednova import FedNova
from fedlit.aggregators.fedopt import FedOpt
from fedlit.aggregators.fedper import FedPer
from fedlit.aggregators.fedprox import FedProx
from fedlit.aggregators.fedsgd import FedSGD
from fedlit.aggregators.fedyogi import FedYogi
from fedlit.aggregators.local import Local
from fedlit.aggregators.moon import Moon
from fedlit.aggregators.partial import Partial
from fedlit.aggregators.qfedavg import QFedAvg
from fedlit.aggregators.scaffold import Scaffold

__all__ = [
    "Aggregator",
    "Centralized",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedDyn",
    "FedNova",
    "FedOpt",
    "FedPer",
    "FedProx",
    "FedSGD",
    "FedYogi",
    "Local",
    "Moon",
    "Partial",
    "QFedAvg",
    "Scaffold",
]

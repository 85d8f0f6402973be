"""Federated algorithms, one a file. `Aggregator` is their contract."""

from fedlit.aggregators.apfl import APFL
from fedlit.aggregators.base import Aggregator
from fedlit.aggregators.centralized import Centralized
from fedlit.aggregators.ditto import Ditto
from fedlit.aggregators.fedadagrad import FedAdagrad
from fedlit.aggregators.fedadam import FedAdam
from fedlit.aggregators.fedala import FedALA
from fedlit.aggregators.fedavg import FedAvg
from fedlit.aggregators.fedavgm import FedAvgM
from fedlit.aggregators.fedbabu import FedBABU
from fedlit.aggregators.fedbn import FedBN
from fedlit.aggregators.feddyn import FedDyn
from fedlit.aggregators.fednova import FedNova
from fedlit.aggregators.fedopt import FedOpt
from fedlit.aggregators.fedper import FedPer
from fedlit.aggregators.fedprox import FedProx
from fedlit.aggregators.fedrep import FedRep
from fedlit.aggregators.fedyogi import FedYogi
from fedlit.aggregators.lgfedavg import LgFedAvg
from fedlit.aggregators.local import Local
from fedlit.aggregators.moon import Moon
from fedlit.aggregators.partial import Partial
from fedlit.aggregators.perfedavg import PerFedAvg
from fedlit.aggregators.pfedme import PFedMe
from fedlit.aggregators.qfedavg import QFedAvg
from fedlit.aggregators.scaffold import Scaffold

__all__ = [
    "Aggregator",
    "APFL",
    "Centralized",
    "Ditto",
    "FedAdagrad",
    "FedAdam",
    "FedALA",
    "FedAvg",
    "FedAvgM",
    "FedBABU",
    "FedBN",
    "FedDyn",
    "FedNova",
    "FedOpt",
    "FedPer",
    "FedProx",
    "FedRep",
    "FedYogi",
    "LgFedAvg",
    "Local",
    "Moon",
    "Partial",
    "PerFedAvg",
    "PFedMe",
    "QFedAvg",
    "Scaffold",
]

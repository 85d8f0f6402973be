"""Federated algorithms, one a file. `Aggregator` is their contract."""

from fedlit.aggregators.apfl import APFL
from fedlit.aggregators.base import Aggregator
from fedlit.aggregators.centralized import Centralized
from fedlit.aggregators.cfl import CFL
from fedlit.aggregators.ditto import Ditto
from fedlit.aggregators.fedadagrad import FedAdagrad
from fedlit.aggregators.fedadam import FedAdam
from fedlit.aggregators.fedala import FedALA
from fedlit.aggregators.fedamp import FedAMP
from fedlit.aggregators.fedavg import FedAvg
from fedlit.aggregators.fedavgm import FedAvgM
from fedlit.aggregators.fedbabu import FedBABU
from fedlit.aggregators.fedbn import FedBN
from fedlit.aggregators.feddyn import FedDyn
from fedlit.aggregators.fedfomo import FedFomo
from fedlit.aggregators.fednova import FedNova
from fedlit.aggregators.fedopt import FedOpt
from fedlit.aggregators.fedper import FedPer
from fedlit.aggregators.fedprox import FedProx
from fedlit.aggregators.fedrep import FedRep
from fedlit.aggregators.fedsgd import FedSGD
from fedlit.aggregators.fedyogi import FedYogi
from fedlit.aggregators.ifca import IFCA
from fedlit.aggregators.lgfedavg import LgFedAvg
from fedlit.aggregators.local import Local
from fedlit.aggregators.moon import Moon
from fedlit.aggregators.partial import Partial
from fedlit.aggregators.perfedavg import PerFedAvg
from fedlit.aggregators.pfedme import PFedMe
from fedlit.aggregators.qfedavg import QFedAvg
from fedlit.aggregators.scaffold import Scaffold

__all__ = [
    "APFL",
    "Aggregator",
    "CFL",
    "Centralized",
    "Ditto",
    "FedALA",
    "FedAMP",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedBABU",
    "FedBN",
    "FedDyn",
    "FedFomo",
    "FedNova",
    "FedOpt",
    "FedPer",
    "FedProx",
    "FedRep",
    "FedSGD",
    "FedYogi",
    "IFCA",
    "LgFedAvg",
    "Local",
    "Moon",
    "PFedMe",
    "Partial",
    "PerFedAvg",
    "QFedAvg",
    "Scaffold",
]

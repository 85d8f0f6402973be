"""Partitions: from the labels of a data set to the samples of each client, one partition a file."""

from fedlit.partitions.base import Labelled, Partition
from fedlit.partitions.classes import Classes
from fedlit.partitions.contiguous import Contiguous
from fedlit.partitions.dirichlet import Dirichlet
from fedlit.partitions.dirichlet_quantity import DirichletQuantity
from fedlit.partitions.feature import Feature
from fedlit.partitions.iid import Iid
from fedlit.partitions.natural import Natural
from fedlit.partitions.quantity import Quantity
from fedlit.partitions.shards import Shards, histogram
from fedlit.partitions.sorted_shards import SortedShards

__all__ = [
    "Classes",
    "Contiguous",
    "Dirichlet",
    "DirichletQuantity",
    "Feature",
    "Iid",
    "Labelled",
    "Natural",
    "Partition",
    "Quantity",
    "Shards",
    "SortedShards",
    "histogram",
]

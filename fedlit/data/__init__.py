"""Data: training and test samples, from files, from memory, or from a user's data set.

`fedlit.data.client_data` is not imported here, because it imports Lightning.
"""

from fedlit.data.column_table import ColumnTable
from fedlit.data.extra_test import ExtraTest
from fedlit.data.loaded import LoadedSamples
from fedlit.data.samples import Samples, TensorSamples
from fedlit.data.source import DataSource
from fedlit.data.transform import Batch, RoundTransform, Transform, chain, on_inputs
from fedlit.data.user_data import adopt, count_classes

__all__ = [
    "Batch",
    "ColumnTable",
    "DataSource",
    "ExtraTest",
    "LoadedSamples",
    "RoundTransform",
    "Samples",
    "TensorSamples",
    "Transform",
    "adopt",
    "chain",
    "count_classes",
    "on_inputs",
]

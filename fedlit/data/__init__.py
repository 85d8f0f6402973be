"""Data: training and test samples, from files, from memory, or from a user's own data set.

A client's DataModule is in `fedlit.data.client_data`, apart, for it alone imports Lightning.
"""

from fedlit.data.loaded import LoadedSamples
from fedlit.data.own import adopt
from fedlit.data.samples import Samples, TensorSamples
from fedlit.data.source import DataSource
from fedlit.data.transform import Batch, Transform, chain, on_inputs

__all__ = [
    "Batch",
    "DataSource",
    "LoadedSamples",
    "Samples",
    "TensorSamples",
    "Transform",
    "adopt",
    "chain",
    "on_inputs",
]

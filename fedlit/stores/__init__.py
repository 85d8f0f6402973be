"""Stores: where client states are kept between rounds."""

from fedlit.stores.base import Store
from fedlit.stores.disk import DiskStore
from fedlit.stores.memory import MemoryStore

__all__ = ["DiskStore", "MemoryStore", "Store"]

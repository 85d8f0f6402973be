"""Who holds which columns, and which people each party knows: the options of `columns=`."""

from fedlit.vertical.columns.base import Columns, Rows
from fedlit.vertical.columns.correlation import Correlation
from fedlit.vertical.columns.importance import Importance
from fedlit.vertical.columns.mutual_information import importances, unevenness
from fedlit.vertical.columns.named import Named
from fedlit.vertical.columns.needed_table import table_of

__all__ = ["Columns", "Correlation", "Importance", "Named", "Rows", "importances", "table_of", "unevenness"]

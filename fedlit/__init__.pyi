"""The public names for type checkers: those that `__init__.py` imports at their first use."""

from fedlit.aggregators import Aggregator as Aggregator
from fedlit.aggregators import FedAvg as FedAvg
from fedlit.aggregators import Partial as Partial
from fedlit.aggregators.base import Message as Message
from fedlit.aggregators.base import State as State
from fedlit.aggregators.base import Weighting as Weighting
from fedlit.aggregators.server_step import OptimizerFactory as OptimizerFactory
from fedlit.client import Client as Client
from fedlit.client import Fitted as Fitted
from fedlit.client import Step as Step
from fedlit.data import Batch as Batch
from fedlit.data import DataSource as DataSource
from fedlit.data import Samples as Samples
from fedlit.data import TensorSamples as TensorSamples
from fedlit.data import Transform as Transform
from fedlit.engines import Engine as Engine
from fedlit.errors import InputError as InputError
from fedlit.messages.reductions import Reduction as Reduction
from fedlit.messages.stages import Stage as Stage
from fedlit.messages.wire import Wire as Wire
from fedlit.messages.wire import unflatten_message as unflatten_message
from fedlit.model_vectors import Layout as Layout
from fedlit.model_vectors import Model as Model
from fedlit.model_vectors import merge as merge
from fedlit.model_vectors import select as select
from fedlit.model_vectors import stack as stack
from fedlit.model_vectors import tree_map as tree_map
from fedlit.partitions import Labelled as Labelled
from fedlit.partitions import Partition as Partition
from fedlit.partitions import Shards as Shards
from fedlit.randomness import keyed_uniform as keyed_uniform
from fedlit.round import Round as Round
from fedlit.samplers import Probe as Probe
from fedlit.samplers import Sampler as Sampler
from fedlit.schedules import RoundSchedule as RoundSchedule
from fedlit.server_round import ServerRound as ServerRound
from fedlit.stores import Store as Store
from fedlit.tracking import About as About
from fedlit.tracking import Logger as Logger
from fedlit.training import Trainer as Trainer

__version__: str

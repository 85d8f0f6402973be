"""Reductions of the messages of a round to one message."""

from fedlit.messages.reductions.all import All
from fedlit.messages.reductions.base import Reduced, Reduction
from fedlit.messages.reductions.bucketing import Bucketing
from fedlit.messages.reductions.bulyan import Bulyan
from fedlit.messages.reductions.centered_clipping import CenteredClipping
from fedlit.messages.reductions.ckks import Ckks
from fedlit.messages.reductions.dnc import Dnc
from fedlit.messages.reductions.flame import Flame
from fedlit.messages.reductions.fltrust import FlTrust
from fedlit.messages.reductions.foolsgold import FoolsGold
from fedlit.messages.reductions.geometric_median import GeometricMedian
from fedlit.messages.reductions.krum import Krum, MultiKrum
from fedlit.messages.reductions.mean import Mean
from fedlit.messages.reductions.median import Median
from fedlit.messages.reductions.nnm import Nnm
from fedlit.messages.reductions.norm_bound import NormBound
from fedlit.messages.reductions.paillier import Paillier
from fedlit.messages.reductions.protocol import Asked, Protocol, ProtocolClient
from fedlit.messages.reductions.secure_sum import SecureSum
from fedlit.messages.reductions.trimmed_mean import TrimmedMean

__all__ = [
    "All",
    "Asked",
    "Bucketing",
    "Bulyan",
    "CenteredClipping",
    "Ckks",
    "Dnc",
    "Flame",
    "FlTrust",
    "FoolsGold",
    "GeometricMedian",
    "Krum",
    "Mean",
    "Median",
    "MultiKrum",
    "Nnm",
    "NormBound",
    "Paillier",
    "Protocol",
    "ProtocolClient",
    "Reduced",
    "Reduction",
    "SecureSum",
    "TrimmedMean",
]

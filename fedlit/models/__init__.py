"""Ready LightningModules, and the optimiser of modules that configure none."""

from fedlit.models.classifier import Classifier
from fedlit.models.convolutional import Cnn, CnnBn, LectureCnn
from fedlit.models.dense import BinaryLogistic, Logistic, Mlp, TwoNN
from fedlit.models.optimizer import give_optimizer, has_optimizer
from fedlit.models.recurrent import CharLstm
from fedlit.models.resnet import ResNet18

__all__ = [
    "BinaryLogistic",
    "CharLstm",
    "Classifier",
    "Cnn",
    "CnnBn",
    "LectureCnn",
    "Logistic",
    "Mlp",
    "ResNet18",
    "TwoNN",
    "give_optimizer",
    "has_optimizer",
]

"""Ready LightningModules, and the optimiser of modules that configure none."""

from fedlit.models.classifier import Classifier
from fedlit.models.convolutional import Cnn, LectureCnn
from fedlit.models.dense import Logistic, Mlp, TwoNN
from fedlit.models.optimizer import give_optimizer, has_optimizer
from fedlit.models.resnet import ResNet18

__all__ = [
    "Classifier",
    "Cnn",
    "LectureCnn",
    "Logistic",
    "Mlp",
    "ResNet18",
    "TwoNN",
    "give_optimizer",
    "has_optimizer",
]

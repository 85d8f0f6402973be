"""The character LSTM of federated learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from fedlit.errors import InputError
from fedlit.models.classifier import Classifier


class CharLstm(Classifier):
    """The next character by an LSTM, as in LEAF (Caldas et al. 2018, arXiv:1812.01097): 819,920 parameters by default
    for 80 characters.

    An embedding, LSTM layers, and a linear layer on the last output of the last one. FedProx (Li et al. 2020,
    arXiv:1812.06127) names 8 numbers a character and two layers of 256.

    Args:
        input_shape: (length,) of a sequence.
        classes: number of characters that may follow.
        embedding: numbers of a character.
        hidden: units of a layer.
        layers: number of LSTM layers.
        vocabulary: number of characters in a sequence; None: `classes`.

    Raises:
        InputError: a sample is not a sequence.
    """

    takes_tokens: ClassVar[bool] = True

    def __init__(
        self,
        input_shape: Sequence[int],
        classes: int,
        embedding: int = 8,
        hidden: int = 256,
        layers: int = 2,
        vocabulary: int | None = None,
    ):
        super().__init__(input_shape, classes)
        if len(input_shape) != 1:
            raise InputError(
                "model=char_lstm needs sequences of characters (length,), but an input of this data set has shape "
                f"{tuple(input_shape)}; write data=shakespeare, or model=mlp."
            )
        self.vocabulary = classes if vocabulary is None else vocabulary
        self.embedding = nn.Embedding(self.vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        outputs, _ = self.lstm(self.embedding(x))
        return self.head(outputs[:, -1])

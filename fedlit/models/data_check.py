"""Whether a ready model can train on a data set, before the run."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from fedlit.data import DataSource, TensorSamples
from fedlit.errors import InputError
from fedlit.models.classifier import IGNORED, Classifier
from fedlit.models.recurrent import CharLstm
from fedlit.plurals import counted


def check_data(module: LightningModule, data: DataSource) -> None:
    """Refuse data that the methods of a ready model cannot take. What a user's subclass overrides is not checked.

    Raises:
        InputError: a batch is no pair, the inputs are tokens and the module has no embedding, or the other way round, a
            token is not in the vocabulary, or a label is below 0 and is not `IGNORED`.
    """
    if not isinstance(module, Classifier):
        return
    batch = data.train.batch(np.zeros(1, dtype=np.int64))
    if data.transform is not None:
        zero = torch.zeros(1, dtype=torch.int64)
        batch = data.transform(batch, zero, zero - 1, "test", zero)
    if type(module).training_step is Classifier.training_step:
        _check_pair(batch)
    if type(module).__module__.rpartition(".")[0] == __package__:  # a subclass may have an embedding
        _check_inputs(batch, module)
    if type(module) is CharLstm:  # a subclass may number its tokens in another way
        _check_tokens(data, module.vocabulary)
    if type(module).losses is Classifier.losses:
        for labels in (data.train.labels(), data.test.labels()):
            _check_labels(labels)


def _check_pair(batch: Any) -> None:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        form = (
            f"has {counted(len(batch), 'part')}" if isinstance(batch, tuple | list) else f"is a {type(batch).__name__}"
        )
        raise InputError(
            f"the ready models take pairs (inputs, targets), and a batch of this data set {form}; write your own "
            "model, model._target_=mine.Net."
        )


def _check_inputs(batch: Any, module: Classifier) -> None:
    inputs = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if not isinstance(inputs, Tensor) or inputs.is_floating_point() != module.takes_tokens:
        return
    if module.takes_tokens:
        raise InputError(
            f"model=char_lstm takes whole numbers as inputs, but those of this data set are {inputs.dtype}; give "
            "tokens (data=npz: data.inputs=tokens), or write model=mlp."
        )
    raise InputError(
        f"the ready models take floats as inputs, but those of this data set are {inputs.dtype}; give floats "
        "(data=npz: data.inputs=features), or write a model with an embedding, model=char_lstm or "
        "model._target_=mine.Net."
    )


def _check_tokens(data: DataSource, vocabulary: int) -> None:
    for samples in (data.train, data.test):
        tokens = samples.tensors[0] if isinstance(samples, TensorSamples) and len(samples) else None
        if tokens is None:
            continue
        least, largest = int(tokens.min()), int(tokens.max())
        if least < 0 or largest >= vocabulary:
            raise InputError(
                f"model=char_lstm knows the tokens 0 to {vocabulary - 1}, but those of this data set are {least} to "
                f"{largest}; write model.vocabulary={largest + 1}, or number the tokens from 0."
            )


def _check_labels(labels: np.ndarray | None) -> None:
    unusable = [] if labels is None else labels[(labels < 0) & (labels != IGNORED)]
    if len(unusable):
        raise InputError(
            f"a label of this data set is {unusable[0]}, and the ready models leave out samples of the label "
            f"{IGNORED} alone; write {IGNORED} in its place, or your own model, model._target_=mine.Net."
        )

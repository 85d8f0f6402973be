"""model=char_lstm against an LSTM written out in numpy, and the inputs that it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule

from fedlit.data import DataSource, TensorSamples
from fedlit.errors import InputError
from fedlit.models import CharLstm, Mlp
from fedlit.models.data_check import check_data


def by_hand(model: CharLstm, text: np.ndarray) -> np.ndarray:
    """Logits of one text by the equations of torch's documentation, a layer after the other."""
    p = {name: value.detach().numpy() for name, value in model.named_parameters()}
    inputs = [p["embedding.weight"][letter] for letter in text]
    for layer in range(model.lstm.num_layers):
        h = c = np.zeros(model.lstm.hidden_size)
        outputs = []
        for x in inputs:
            gates = p[f"lstm.weight_ih_l{layer}"] @ x + p[f"lstm.bias_ih_l{layer}"]
            gates = gates + p[f"lstm.weight_hh_l{layer}"] @ h + p[f"lstm.bias_hh_l{layer}"]
            i, f, g, o = np.split(gates, 4)
            c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            h = np.tanh(c) / (1 + np.exp(-o))
            outputs.append(h)
        inputs = outputs
    return p["head.weight"] @ inputs[-1] + p["head.bias"]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_logits_are_those_of_the_equations(layers: int, double_precision: None) -> None:
    model = CharLstm([9], 5, embedding=3, hidden=4, layers=layers, vocabulary=7)
    texts = torch.randint(0, 7, (6, 9))
    expected = np.stack([by_hand(model, text) for text in texts.numpy()])
    np.testing.assert_allclose(model(texts).detach().numpy(), expected, rtol=0, atol=1e-12)


def source(inputs: torch.Tensor) -> DataSource:
    samples = TensorSamples(inputs, torch.arange(len(inputs)) % 2)
    return DataSource("mine", samples, samples, 2, tuple(inputs.shape[1:]))


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        (CharLstm([3], 2), torch.randn(4, 3), "model=char_lstm takes whole numbers as inputs, but .* torch.float32"),
        (CharLstm([3], 2), torch.full((4, 3), 2), "knows the tokens 0 to 1, .* 2 to 2; write model.vocabulary=3"),
        (CharLstm([3], 2), torch.full((4, 3), -1), "knows the tokens 0 to 1, .* -1 to -1"),
        (Mlp([3], 2), torch.full((4, 3), 1), "the ready models take floats as inputs.*model=char_lstm"),
    ],
)
def test_inputs_that_a_model_cannot_take_are_refused(
    model: LightningModule, inputs: torch.Tensor, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_data(model, source(inputs))


def test_tokens_of_the_vocabulary_are_taken() -> None:
    check_data(CharLstm([3], 2, vocabulary=9), source(torch.full((4, 3), 8)))


def test_images_are_refused() -> None:
    with pytest.raises(InputError, match=r"needs sequences of characters .* shape \(1, 8, 8\)"):
        CharLstm((1, 8, 8), 10)

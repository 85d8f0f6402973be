"""The gradient of a whole shard by `client.collect` for modules of several kinds of layers, against torch alone."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn

from fedlit.data import TensorSamples
from tests.slow import some_slow
from tests.training.collecting import CLASSES, TRAIN, Collecting, N, gradient

LETTERS = 9


class Classifier(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.make()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Recurrent(Classifier):
    def make(self) -> None:
        self.letters = nn.Embedding(LETTERS, 4, padding_idx=0)
        self.lstm, self.head = nn.LSTM(4, 5, 2, batch_first=True, dropout=0.3), nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(self.letters(x))[0][:, -1])


class Sparse(Classifier):
    def make(self) -> None:
        self.letters, self.head = nn.Embedding(LETTERS, 4, sparse=True), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.letters(x).mean(1))


class Attention(Sparse):
    def make(self) -> None:
        self.letters, self.head = nn.Embedding(LETTERS, 4), nn.Linear(4, CLASSES)
        self.encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.letters(x)).mean(1))


class Images(Classifier):
    def make(self) -> None:
        self.convolution, self.norm = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)
        self.head = nn.Linear(27, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.max_pool2d(self.norm(self.convolution(x)).relu(), 2).flatten(1))


class Frozen(Images):
    def make(self) -> None:
        super().make()
        self.convolution.requires_grad_(False)


CASES = [(module, kind) for module in (Recurrent, Sparse, Attention, Images, Frozen) for kind in ("lightning", "stack")]
QUICK = [(Recurrent, "stack"), (Frozen, "lightning")]


@pytest.mark.parametrize(("module", "kind"), some_slow(CASES, QUICK))
def test_a_gradient_is_that_of_the_whole_shard(module: type[Classifier], kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    letters = torch.randint(0, LETTERS, (N, 6), generator=generator)
    images = torch.randn(N, 1, 8, 8, dtype=torch.float64, generator=generator)
    x, y = (images if issubclass(module, Images) else letters), torch.arange(N) % CLASSES
    collected = Collecting(kind, module, samples=TensorSamples(x, y)).collect(gradient)["gradient"]
    for client, samples in TRAIN.items():
        index = list(samples)
        if not index:
            continue
        plain = module().double().eval()
        nn.functional.cross_entropy(plain(x[index]), y[index], reduction="sum").backward()
        gradients = [p.grad for p in plain.parameters() if p.requires_grad]
        expected = torch.cat([(g.to_dense() if g.is_sparse else g).flatten() for g in gradients])
        torch.testing.assert_close(collected[client], expected, rtol=0, atol=1e-12)

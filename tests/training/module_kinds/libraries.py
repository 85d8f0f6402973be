"""Small modules from real libraries, with random weights. A case imports its library when it is made."""

from __future__ import annotations

import copy
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedlit.data import LoadedSamples, Samples, TensorSamples
from tests.training.module_kinds.case import CLASSES, Case, N, Plain, classes, looped, mlp, vectors

LENGTH, WORDS = 6, 20


def pictures() -> Samples:
    noise = torch.randn(N, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return TensorSamples(noise, classes())


def token_ids() -> Tensor:
    return torch.from_numpy(np.random.default_rng(3).integers(3, WORDS, (N, LENGTH)))


def mask() -> Tensor:
    """The last tokens of some sentences are padding."""
    return (torch.arange(LENGTH) < 3 + torch.arange(N)[:, None] % 4).long()


class Sentences(torch.utils.data.Dataset[Any]):
    def __init__(self) -> None:
        self.ids, self.mask, self.targets = token_ids(), mask(), classes().tolist()

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"input_ids": self.ids[i], "attention_mask": self.mask[i], "labels": self.targets[i]}


def sentences() -> Samples:
    """Dict batches, as a tokenizer and default_collate give them."""
    return LoadedSamples(Sentences())


def encodings() -> Samples:
    """Batches that are a BatchEncoding, as DataCollatorWithPadding gives them."""
    from transformers import BatchEncoding

    return LoadedSamples(Sentences(), lambda rows: BatchEncoding(torch.utils.data.default_collate(rows)))


# --- transformers, peft -----------------------------------------------------------------------------------------------
class Hugging(pl.LightningModule):
    """The step takes the loss of the library's ModelOutput."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        output = self.net(**batch)
        self.log("loss", output.loss, on_epoch=True, batch_size=len(batch["labels"]))
        return output.loss

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], lr=1e-2)


class HuggingPictures(Hugging):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(pixel_values=batch[0]).logits, batch[1])


def sizes(dropout: float) -> dict[str, Any]:
    return {
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        "num_labels": CLASSES,
    }


def bert(dropout: float = 0.1, **options: Any) -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(vocab_size=WORDS, max_position_embeddings=LENGTH, **sizes(dropout), **options)
    return BertForSequenceClassification(config)


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = GPT2Config(
        vocab_size=WORDS, n_positions=LENGTH, n_embd=8, n_layer=2, n_head=2, num_labels=CLASSES, **tokens, **GIVEN
    )
    return GPT2ForSequenceClassification(config)


def vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(ViTConfig(image_size=32, patch_size=16, num_channels=3, **sizes(0.1)))


def lora(dropout: float = 0.1) -> nn.Module:
    """Only the adapters and the head are trained and travel."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(task_type="SEQ_CLS", r=2, lora_alpha=4, lora_dropout=dropout, target_modules=["query", "value"])
    return get_peft_model(bert(dropout, **GIVEN), config)


# --- timm -----------------------------------------------------------------------------------------------------------
def timm_net(name: str, **options: Any) -> nn.Module:
    import timm

    return timm.create_model(name, pretrained=False, num_classes=CLASSES, **options)


# --- lightly --------------------------------------------------------------------------------------------------------
class SimClr(pl.LightningModule):
    """lightly's projection head and NT-Xent loss on two noisy views."""

    def __init__(self) -> None:
        super().__init__()
        from lightly.loss import NTXentLoss
        from lightly.models.modules import SimCLRProjectionHead

        self.backbone, self.head = mlp(), SimCLRProjectionHead(CLASSES, 8, 4)
        self.criterion = NTXentLoss(temperature=0.5)
        self.criterion.memory_bank.bank_ptr.zero_()  # uninitialised memory where the bank is empty

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        views = [self.head(self.backbone(batch[0] + 0.1 * torch.randn_like(batch[0]))) for _ in range(2)]
        return self.criterion(*views)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.05)


class Byol(pl.LightningModule):
    """A momentum teacher that the step updates by lightly's `update_momentum`."""

    def __init__(self) -> None:
        super().__init__()
        from lightly.loss import NegativeCosineSimilarity
        from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
        from lightly.models.utils import deactivate_requires_grad

        self.student = nn.Sequential(mlp(), BYOLProjectionHead(CLASSES, 8, 4))
        self.predictor = BYOLPredictionHead(4, 8, 4)
        self.teacher = copy.deepcopy(self.student)
        deactivate_requires_grad(self.teacher)
        self.criterion = NegativeCosineSimilarity()

    def follow(self) -> None:
        from lightly.models.utils import update_momentum

        update_momentum(self.student, self.teacher, m=0.9)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.follow()
        first, second = (batch[0] + 0.1 * torch.randn_like(batch[0]) for _ in range(2))
        with torch.no_grad():
            targets = self.teacher(second), self.teacher(first)
        outputs = self.predictor(self.student(first)), self.predictor(self.student(second))
        return 0.5 * sum(self.criterion(o, t) for o, t in zip(outputs, targets, strict=True))

    def configure_optimizers(self) -> Any:
        trained = [*self.student.parameters(), *self.predictor.parameters()]
        return torch.optim.SGD(trained, lr=0.05)


class ByolHook(Byol):
    """The teacher follows in a hook."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        super().follow()

    def follow(self) -> None:
        pass


# --- torchmetrics ---------------------------------------------------------------------------------------------------
class Collected(Plain):
    def __init__(self) -> None:
        super().__init__()
        from torchmetrics import MetricCollection
        from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC, MulticlassF1Score

        self.metrics = MetricCollection(
            {
                "accuracy": MulticlassAccuracy(CLASSES),
                "f1": MulticlassF1Score(CLASSES),
                "auroc": MulticlassAUROC(CLASSES, thresholds=5),
            },
            prefix="fit_",
        )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        outputs = self(batch[0])
        self.metrics.update(outputs.softmax(1), batch[1])
        self.log_dict(self.metrics, on_step=False, on_epoch=True)
        return F.cross_entropy(outputs, batch[1])


class Timm(Plain):
    def configure_optimizers(self) -> Any:  # a small rate: batch norm of two samples magnifies rounding errors
        return torch.optim.SGD(self.parameters(), lr=1e-3, momentum=0.9)


def timm_case(name: str, **options: Any) -> Case:
    return Case("stacked", lambda: Timm(timm_net(name, **options)), pictures)


SETS_CONFIG = "the step changes .*config of the module"  # config.problem_type, in the first forward
GIVEN = {"problem_type": "single_label_classification"}


LIBRARIES: dict[str, tuple[str, Case]] = {
    "BERT": ("transformers", looped(Case("stacked", lambda: Hugging(bert()), sentences), SETS_CONFIG)),
    "BERT with a problem_type": ("transformers", Case("stacked", lambda: Hugging(bert(**GIVEN)), sentences)),
    "BERT, BatchEncoding": (
        "transformers",
        looped(Case("stacked", lambda: Hugging(bert(**GIVEN)), encodings), "BatchEncoding"),
    ),
    "BERT, eager attention": (
        "transformers",
        Case("stacked", lambda: Hugging(bert(attn_implementation="eager", **GIVEN)), sentences),
    ),
    "GPT-2": ("transformers", Case("stacked", lambda: Hugging(gpt2()), sentences)),
    "ViT": ("transformers", Case("stacked", lambda: HuggingPictures(vit()), pictures)),
    "LoRA on BERT": ("peft", Case("stacked", lambda: Hugging(lora()), sentences)),
    "resnet10t": ("timm", timm_case("resnet10t")),
    "vit with drop path": (
        "timm",
        timm_case("vit_tiny_patch16_224", img_size=32, embed_dim=12, depth=2, num_heads=2, drop_path_rate=0.3),
    ),
    "convnext with drop path": (
        "timm",
        timm_case("convnext_atto", depths=(1, 1, 1, 1), dims=(4, 4, 8, 8), drop_path_rate=0.3),
    ),
    "SimCLR": ("lightly", Case("stacked", SimClr, vectors)),
    "BYOL": ("lightly", looped(Case("stacked", Byol, vectors), "_foreach")),
    "BYOL, teacher in a hook": ("lightly", Case("refused", ByolHook, vectors, "on_train_batch_end")),
    "a collection of metrics": ("torchmetrics", looped(Case("stacked", Collected, vectors), "vmap|torchmetric")),
}

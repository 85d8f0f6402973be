"""Whether a larger or a smaller value of a metric is better: declared by torchmetrics, else from the metric's name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase as fnmatch

from fedlit.metric_names import Direction

HIGHER = (
    *("acc", "acc1", "acc5", "*accuracy", "precision", "recall", "sensitivity", "specificity", "*f1", "f1*", "fbeta"),
    *("auc", "*auroc", "*auprc", "average_precision", "map", "map50", "ndcg", "mrr", "hit_rate", "r2*", "dice"),
    *("*iou", "jaccard*", "kappa", "mcc", "matthews*", "pearson*", "spearman*", "kendall*", "concordance*", "cindex"),
    *("bleu*", "sacrebleu", "rouge*", "meteor", "chrf", "psnr", "ssim", "elbo", "likelihood", "*reward"),
    *("explained_variance", "neg_mean_squared_error", "neg_root_mean_squared_error", "neg_mean_absolute_error"),
)
LOWER = (
    *("*loss", "*error", "err", "*mse", "*mae", "*mape", "msle", "rmsle", "*perplexity", "ppl", "nll", "bce", "ce"),
    *("cross_entropy", "crossentropy", "kl", "*divergence", "brier*", "ece", "mce", "wer", "cer", "mer", "ter"),
    *("neg_log_likelihood", "negative_log_likelihood", "fid", "kid", "lpips", "fpr", "fnr", "eer", "hamming*"),
    *("regret", "deviance", "distance"),
)
_TURNING = ("neg", "negative", "minus")  # a direction after one of these words is not known


@dataclass
class Directions:
    """The direction of each metric.

    Args:
        higher, lower: patterns of names (`*` is any letters) of which more or less is better; they come before the
            known ones.

    Attributes:
        declared: name -> whether higher is better, of torchmetrics' metrics. They come first.
    """

    higher: Sequence[str] = ()
    lower: Sequence[str] = ()
    declared: dict[str, bool] = field(default_factory=dict)

    def better(self, metric: str) -> Direction:
        """
        Args:
            metric: the metric's part of a name, such as `val_mse`.

        >>> directions = Directions(lower=["cost_of_*"])
        >>> [directions.better(name) for name in ("val_mse", "top5_acc", "neg_loss", "cost_of_living", "temperature")]
        ['lower', 'higher', 'neither', 'lower', 'neither']
        """
        if metric in self.declared:
            return "higher" if self.declared[metric] else "lower"
        if any(fnmatch(metric.lower(), pattern.lower()) for pattern in self.higher):
            return "higher"
        if any(fnmatch(metric.lower(), pattern.lower()) for pattern in self.lower):
            return "lower"
        return _by_words(metric)


def _by_words(metric: str) -> Direction:
    """By the last words of a name that are known: "loss" in `f1_loss`; "neither" where none is."""
    words = f"_{'_'.join(re.findall(r'[a-z0-9]+', metric.lower()))}_"
    matches: list[tuple[int, int, Direction]] = [
        (match.end(), -match.start(), direction) for direction, known in _KNOWN for match in known.finditer(words)
    ]
    if not matches:
        return "neither"
    _, start, direction = max(matches)
    return "neither" if any(f"_{word}_" in words[: 1 - start] for word in _TURNING) else direction


def _pattern(patterns: Sequence[str]) -> re.Pattern[str]:
    """Matches one of the patterns as full words between underscores, the longest first."""
    words = [p.replace("*", "[a-z0-9]*") for p in sorted(patterns, key=len, reverse=True)]
    return re.compile(rf"_(?:{'|'.join(words)})(?=_)")


_KNOWN: tuple[tuple[Direction, re.Pattern[str]], ...] = (("higher", _pattern(HIGHER)), ("lower", _pattern(LOWER)))

KNOWN = Directions()
"""The directions of names that are known without a configuration."""

"""Whether a larger or a smaller value of a metric is better: declared by torchmetrics, else from the metric's name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase as fnmatch

from fedlit.metric_names import METRICS, Direction, base_metric

HIGHER = (
    *("acc", "acc1", "acc5", "*accuracy", "precision", "recall", "sensitivity", "specificity", "*f1", "f1*", "fbeta"),
    *("auc", "*auroc", "*auprc", "average_precision", "map", "map50", "ndcg", "mrr", "hit_rate", "r2*", "dice"),
    *("*iou", "jaccard*", "kappa", "mcc", "matthews*", "pearson*", "spearman*", "kendall*", "concordance*", "cindex"),
    *("bleu*", "sacrebleu", "rouge*", "meteor", "chrf", "psnr", "ssim", "elbo", "likelihood", "*reward"),
    *("tpr", "tnr", "true_positive_rate", "true_negative_rate", "exact_match", "success_rate", "snr", "si_snr"),
    *("explained_variance", "neg_mean_squared_error", "neg_root_mean_squared_error", "neg_mean_absolute_error"),
)
LOWER = (
    *("*loss", "*error", "err", "*mse", "*mae", "*mape", "msle", "rmsle", "*perplexity", "ppl", "nll", "bce", "ce"),
    *("cross_entropy", "crossentropy", "kl", "*divergence", "brier*", "ece", "mce", "wer", "cer", "mer", "ter"),
    *("neg_log_likelihood", "negative_log_likelihood", "fid", "kid", "lpips", "fpr", "fnr", "eer", "hamming*"),
    *("regret", "deviance", "edit_distance", "levenshtein*", "chamfer*", "hausdorff*", "crps", "bits_per_dim"),
    *("false_positive_rate", "false_negative_rate", "inaccuracy", "misaccuracy"),
)
_NOT_KNOWN_WITH = {  # words that make something else of a metric
    *("neg", "negative", "minus", "inverse", "inv", "non", "not", "gap", "drop", "diff", "delta", "std", "var"),
    *("variance", "weight", "scale", "threshold", "bits", "time", "count", "num", "n", "size", "key", "ratio", "bound"),
    *("gain", "improvement", "reduction", "increase", "decrease", "margin", "cost", "coef", "correction", "free"),
}


@dataclass
class Directions:
    """The direction of each metric.

    Args:
        higher, lower: patterns of names (`*` is any letters) of which more or less is better; they come before the
            known ones.

    Attributes:
        declared: name -> whether higher is better, of torchmetrics' metrics. They come first.
        limits: name -> the least and the largest value, None where there is none, of metrics that declare them.
    """

    higher: Sequence[str] = ()
    lower: Sequence[str] = ()
    declared: dict[str, bool] = field(default_factory=dict)
    limits: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)

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

    def of(self, name: str) -> Direction:
        """The direction of a metric by its full name, such as `clients/used/accuracy/worst` or `train/loss`.

        >>> [Directions().of(name) for name in ("clients/used/accuracy/worst", "comm/bytes_up", "cohort/asked")]
        ['higher', 'lower', 'neither']
        """
        for metric in METRICS:
            if metric.better != "by metric" and metric.matches(name):
                return metric.better
        return self.better(base_metric(name) or name.rpartition("/")[2])


def _by_words(metric: str) -> Direction:
    """By the last words of a name that are known: "loss" in `f1_loss`; "neither" where none is, and where another word
    may make something else of the metric: `neg_loss`, `accuracy_gap`."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", metric)  # valLoss, negMSE
    for name in (parted, metric):  # mAP is one word
        words = f"_{'_'.join(re.findall(r'[a-z0-9]+', name.lower().replace('1-', 'minus_')))}_"
        matches: list[tuple[int, int, Direction]] = [
            (match.end(), -match.start(), direction) for direction, known in _KNOWN for match in known.finditer(words)
        ]
        if matches:
            end, start, direction = max(matches)
            others = {*words[:-start].split("_"), *words[end:].split("_")}
            return "neither" if others & _NOT_KNOWN_WITH else direction
    return "neither"


def _pattern(patterns: Sequence[str]) -> re.Pattern[str]:
    """Matches one of the patterns as full words between underscores, the longest first."""
    words = [p.replace("*", "[a-z0-9]*") for p in sorted(patterns, key=len, reverse=True)]
    return re.compile(rf"_(?:{'|'.join(words)})(?=_)")


_KNOWN: tuple[tuple[Direction, re.Pattern[str]], ...] = (("higher", _pattern(HIGHER)), ("lower", _pattern(LOWER)))

KNOWN = Directions()
"""The directions of names that are known without a configuration."""

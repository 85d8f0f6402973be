"""Numbers of one column of a table, with the same number of decimals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from fedlit.report.shown_table import number

_MOST = 8


def column_texts(pairs: Sequence[tuple[float, float]]) -> list[tuple[str, str]]:
    """(mean, standard deviation) as texts, an empty one for a deviation that is not known.

    All have the decimals that give half of the deviations two digits or more; without deviations, those of four digits
    of the largest mean, or fewer where none needs them. A number of which these decimals would leave nothing has digits
    of its own.

    >>> column_texts([(0.65321, 0.022), (0.357683, 0.00075), (0.9, math.nan)])
    [('0.653', '0.022'), ('0.3577', '0.0008'), ('0.900', '')]
    >>> column_texts([(0.84684, math.nan), (0.9, math.nan), (math.nan, math.nan)])
    [('0.8468', ''), ('0.9000', ''), ('-', '')]
    >>> column_texts([(0.5, math.nan), (1.0, 0.0)])
    [('0.5', ''), ('1.0', '0.0')]
    """
    decimals = _decimals(pairs)
    return [_text(mean, std, decimals) for mean, std in pairs]


def joined(mean: str, spread: str) -> str:
    """
    >>> joined("0.653", "0.022"), joined("0.9", "")
    ('0.653 ± 0.022', '0.9')
    """
    return f"{mean} ± {spread}" if spread else mean


def _decimals(pairs: Sequence[tuple[float, float]]) -> int:
    spreads = [1 - _magnitude(std) for _, std in pairs if math.isfinite(std) and std > 0]
    if spreads:
        return min(_MOST, max(0, statistics.median_low(spreads)))
    means = [mean for mean, _ in pairs if math.isfinite(mean)]
    largest = max(map(abs, means), default=0.0)
    needed = max((len(f"{mean:.4g}".partition("e")[0].partition(".")[2]) for mean in means), default=0)
    return min(needed, max(0, 3 - _magnitude(largest))) if largest else 0


def _magnitude(value: float) -> int:
    """
    >>> _magnitude(0.022), _magnitude(1.0), _magnitude(340.0)
    (-2, 0, 2)
    """
    return math.floor(math.log10(abs(value)))


def _text(mean: float, std: float, decimals: int) -> tuple[str, str]:
    if not math.isfinite(mean):
        return number(mean), ""
    if 0 < std < 10.0**-decimals:  # nothing would be left of the deviation
        decimals = min(_MOST, -_magnitude(std))
        return f"{mean:.{decimals}f}", f"{std:.{decimals}f}" if std >= 10.0**-decimals else f"{std:.0e}"
    is_small = mean and abs(mean) < 10.0 ** (1 - decimals)  # fewer than two digits would be left of the mean
    return f"{mean:.2g}" if is_small else f"{mean:.{decimals}f}", f"{std:.{decimals}f}" if math.isfinite(std) else ""

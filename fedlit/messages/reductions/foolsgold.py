"""FoolsGold: Fung et al. 2020 (The Limitations of Federated Learning in Sybil Settings), algorithm 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fedlit.messages.reductions.by_client import RuleByClient, Weights
from fedlit.messages.reductions.columns import real_rows
from fedlit.messages.reductions.distances import gram
from fedlit.messages.reductions.rule import Messages, check_option
from fedlit.model_vectors import Layout


class FoolsGold(RuleByClient):
    """Clients whose updates point in the same direction over the rounds, as those of sybils do, count less.

    H_i is the sum of client i's messages so far, cs_ij the cosine of H_i and H_j (0 for i = j), and v_i = max_j cs_ij.
    cs_ij is multiplied by v_i / v_j where v_j > v_i, so that honest clients are pardoned. Then
    a_i = 1 - max_j cs_ij, over the largest a, and alpha_i = kappa (ln(a_i / (1 - a_i)) + 1/2), cut to [0, 1].

    The result is sum_i alpha_i x_i / sum_i alpha_i. (The paper adds sum_i alpha_i x_i to the model, a step that grows
    with the number of clients.) All weights count the same in the cosines: the paper's choice of indicative features is
    left out.

    The server keeps H of all N clients: N P numbers, in each checkpoint too, and twice that while a round is reduced.
    """

    by_identity: ClassVar[bool] = True

    def __init__(self, kappa: float = 1.0, statistics: str = "same"):
        """
        Args:
            kappa: confidence, above 0; larger cuts more alphas to 0 or 1.
            statistics: see `RuleByClient`.

        Raises:
            InputError: an option has another value.
        """
        super().__init__(statistics)
        check_option("kappa", kappa, kappa > 0, "a number above 0")
        self.kappa = kappa

    def setup(self, layout: Layout, clients: int) -> None:
        super().setup(layout, clients)
        self.all_clients = clients

    def weigh(self, messages: Messages, keys: Sequence[str], state: Mapping[str, Any]) -> Weights:
        device = messages.wire[keys[0]].device
        rows = torch.tensor(messages.clients).to(device, non_blocking=True)
        history = {key: self._added(state.get("history", {}).get(key), messages.wire[key], rows) for key in keys}
        alpha = self._alpha(gram([history[key].index_select(0, rows) for key in keys]).products)
        report = {"selected": int(np.count_nonzero(alpha)), "mean_scale": float(alpha.mean())}
        return Weights(alpha / max(alpha.sum(), 1e-300), report=report, state={"history": history})

    def _added(self, history: Tensor | None, value: Tensor, rows: Tensor) -> Tensor:
        """(N, P) with the messages (n, P) of some clients added; sums of huge numbers stay finite."""
        sent = real_rows(value)
        sent = sent.float() if sent.dtype.itemsize < 4 else sent
        before = sent.new_zeros(self.all_clients, sent.shape[1]) if history is None else history.to(sent)
        limit = torch.finfo(sent.dtype).max
        return before.index_add(0, rows, sent).clamp(-limit, limit)

    def _alpha(self, products: np.ndarray) -> np.ndarray:
        """(n,) from the inner products of the H_i."""
        norms = np.sqrt(products.diagonal())
        over = np.outer(norms, norms)
        cosines = np.divide(products, over, out=np.zeros_like(products), where=over > 0)
        np.fill_diagonal(cosines, 0)
        v = cosines.max(1)
        above = v[None, :] > v[:, None]  # v is at least 0, so that v_j is above 0
        cosines = np.where(above, cosines * v[:, None] / np.where(above, v[None, :], 1), cosines)
        a = np.clip(1 - cosines.max(1), 0, 1)
        a = a / a.max() if a.max() > 0 else a
        with np.errstate(divide="ignore"):
            return np.clip(self.kappa * (np.log(a) - np.log(1 - a) + 0.5), 0, 1)

"""Natural clients: the sites, writers or subjects of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedlit.errors import InputError
from fedlit.partitions.base import Labelled, Partition
from fedlit.partitions.shards import Shards
from fedlit.partitions.sharing import equal
from fedlit.plurals import counted


@dataclass(frozen=True)
class Natural(Partition):
    """One client for each site, writer or subject that has training samples, in the order of their numbers.

    With fewer clients than sites, each client gets several whole sites at random; the numbers of sites of two clients
    differ by at most one. More clients than sites are refused.

    Test samples go to the client that trains on their site. Test samples of a site without training samples go to no
    client. If no test sample has a known site, each class is divided as in any other partition.
    """

    def owners(self, data: Labelled, clients: int, rng: np.random.Generator) -> np.ndarray:
        sites, site = self._sites(data)
        if clients > len(sites):
            raise InputError(
                f"clients={clients} is more than the {counted(len(sites), 'site')} of the training set; "
                f"write clients={len(sites)} or fewer."
            )
        client = np.arange(clients)
        if clients < len(sites):
            client = rng.permutation(np.repeat(client, equal(len(sites), clients)))
        return client[site]

    def test(self, test: Labelled, train: Labelled, shards: Shards, rng: np.random.Generator) -> Shards:
        sites, site = self._sites(train)
        known = np.isin(test.sites, sites) if test.sites is not None else np.zeros(0, bool)
        if test.sites is None or not known.any():
            return super().test(test, train, shards, rng)
        client = np.empty(len(sites), np.int64)
        client[site[shards.indices]] = shards.owners
        owner = np.full(test.size, -1)
        owner[known] = client[np.searchsorted(sites, test.sites[known])]
        return Shards.from_owner(owner, len(shards))

    def clients(self, data: Labelled) -> int:
        """The number of sites."""
        return len(self._sites(data)[0])

    def _sites(self, data: Labelled) -> tuple[np.ndarray, np.ndarray]:
        """The sites with samples, ascending, and the position of each sample's site among them (N,)."""
        if data.sites is None:
            raise InputError(
                "the partition Natural needs sites, writers or subjects, but this data set names none; "
                "write partition=iid or partition=dirichlet, or data=csv_sites."
            )
        if data.size and data.sites.min() >= 0 and data.sites.max() < 2 * data.size:  # counting is faster than a sort
            occurs = np.bincount(data.sites) > 0
            return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[data.sites]
        sites, position = np.unique(data.sites, return_inverse=True)
        return sites, position

"""The sentences for results that differ where they have to be equal."""

from __future__ import annotations

from fedlit.algorithm_trial.watched_aggregator import WatchedAggregator
from fedlit.algorithm_trial.watched_client import WatchedClient


def gives_others_again(algorithm: WatchedAggregator, method: str) -> str:
    """The same call gives other numbers the second time."""
    if algorithm.touched:
        return algorithm.kept_sentence(next(iter(algorithm.touched)))
    return (
        f"{algorithm.name}.{method} gives other numbers when it is called again with the same arguments; keep "
        "numbers in a state, and draw from client.draw or round.generator."
    )


def mixes_clients(algorithm: WatchedAggregator, watched: WatchedClient, path: str) -> str:
    """A client gets other numbers together with another than alone.

    Args:
        watched: the client of the method that the difference comes from.
        path: a value that differs.
    """
    if algorithm.touched:
        return algorithm.kept_sentence(next(iter(algorithm.touched)))
    if watched.closed_over:
        return watched.closed_over
    if watched.replaces:
        return (
            f"{watched.where}: its gradient_fn gives a client other numbers together with other clients than alone; "
            "add up the losses of the clients, torch.autograd.grad(step.loss(w).sum(), w)[0], and take no mean over K."
        )
    if watched.adjusts:
        return (
            f"{watched.where}: its adjust_gradient, or the code around it, gives a client other numbers together with "
            "other clients than alone; change each gradient elementwise, by its weights and by extras."
        )
    return (
        f"{watched.where} gives a client other numbers together with other clients than alone (in {path}); compute "
        "along the last axis with keepdim=True, and take no mean or sum over K."
    )

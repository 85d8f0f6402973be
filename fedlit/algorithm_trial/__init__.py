"""An algorithm is tried before the run, as modules are: on two small clients, on copies, leaving no trace.

Read `trial.py` first: what is compared. `small_federation.py` runs the rounds, `watched_aggregator.py` and
`watched_client.py` check each call, `comparison.py` says what is equal, and `verdicts.py` has the sentences for
differences.
"""

from fedlit.algorithm_trial.trial import try_algorithm

__all__ = ["try_algorithm"]

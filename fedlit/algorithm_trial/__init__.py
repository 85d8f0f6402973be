"""An algorithm is tried before the run, as modules are: on two small clients, on copies, leaving no trace.

Read `trial.py` first. It runs two rounds of copies of the algorithm; `watched_aggregator.py` and `watched_client.py`
check each call, and `comparison.py` compares what has to be equal.
"""

from fedlit.algorithm_trial.trial import try_algorithm

__all__ = ["try_algorithm"]

"""How a chunk of clients is trained: the contract of `trainer=`, and the code that both trainers share.

`lightning/` trains one client at a time on a Lightning Trainer; `stacked/` trains a chunk as one computation."""

from fedlit.training.cohort import Cohort, Returned
from fedlit.training.job import Job, JobData
from fedlit.training.trainer import Trainer
from fedlit.training.worker import Worker

__all__ = ["Cohort", "Job", "JobData", "Returned", "Trainer", "Worker"]

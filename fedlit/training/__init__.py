"""How a chunk of clients is trained: the contract, and what both trainers share."""

from fedlit.training.cohort import Cohort, Returned
from fedlit.training.job import Job, JobData
from fedlit.training.trainer import Trainer
from fedlit.training.worker import Worker

__all__ = ["Cohort", "Job", "JobData", "Returned", "Trainer", "Worker"]

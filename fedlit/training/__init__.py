"""How a chunk of clients is trained: the contract, and what both trainers share."""

from fedlit.training.base import JobData, Trainer, Worker
from fedlit.training.cohort import Cohort
from fedlit.training.job import Job

__all__ = ["Cohort", "Job", "JobData", "Trainer", "Worker"]

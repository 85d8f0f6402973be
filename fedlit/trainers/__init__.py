"""How a chunk of clients is trained."""

from fedlit.trainers.base import JobData, Trainer, Worker
from fedlit.trainers.cohort import Cohort
from fedlit.trainers.job import Job
from fedlit.trainers.lightning import LightningTrainer
from fedlit.trainers.vectorized import VectorizedTrainer

__all__ = ["Cohort", "Job", "JobData", "LightningTrainer", "Trainer", "VectorizedTrainer", "Worker"]

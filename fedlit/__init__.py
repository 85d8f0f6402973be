"""fedlit: federated learning of any LightningModule, composed by Hydra."""

__version__ = "0.1.0"

"""SecureBoost (Cheng et al. 2021, "SecureBoost: A Lossless Federated Learning Framework", arXiv 1901.08755)."""

from fedlit.vertical.secureboost.protocol import SecureBoost

__all__ = ["SecureBoost"]

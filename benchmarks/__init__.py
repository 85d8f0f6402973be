"""Seconds a round of fedlit against a plain PyTorch loop and other frameworks: `make bench`. No part of the package."""

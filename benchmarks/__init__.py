"""Seconds a round of fedlit, a plain PyTorch loop and other frameworks: `make bench`. Not part of the package."""

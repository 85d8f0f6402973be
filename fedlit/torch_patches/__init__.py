"""Replacements for torch functions that vmap cannot batch or that have no second derivative.

`vmap_patches` and `double_backward` are the two patches; a step runs under them by `keyed_random.random_mode`."""

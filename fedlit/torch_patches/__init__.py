"""Torch functions that vmap or a second derivative cannot take, in forms that they can take."""

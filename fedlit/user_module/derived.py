"""Attributes that some of torch's layers compute anew in each forward pass: they carry nothing from step to step."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

_OF_RECURRENT_LAYERS = ("_flat_weights", "_flat_weight_refs")


def derived_attributes(module: nn.Module) -> set[tuple[str, str]]:
    """(submodule's name, attribute): a step that changes these alone has changed nothing.

    A recurrent layer lists its weights anew where they are not the ones of the last call; the older spectral_norm and
    weight_norm, and pruning, leave the weight they computed on the layer.
    """
    found = set()
    for name, part in module.named_modules():
        if isinstance(part, nn.RNNBase):
            found |= {(name, attribute) for attribute in _OF_RECURRENT_LAYERS}
        norms = [h for h in part._forward_pre_hooks.values() if isinstance(h, (SpectralNorm, WeightNorm))]
        found |= {(name, norm.name) for norm in norms}
        masks = [h for h in part._forward_pre_hooks.values() if isinstance(h, BasePruningMethod)]
        found |= {(name, mask._tensor_name) for mask in masks}
    return found

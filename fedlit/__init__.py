"""fedlit: federated learning of any LightningModule, composed by Hydra.

The names below are what users subclass or call. Each is imported at its first use: `import fedlit` imports nothing
else, so `--help` answers at once. `__init__.pyi` lists the same names for type checkers.
"""

__version__ = "0.1.0"

_NAMES = {  # module: its public names
    "fedlit.aggregators": ("Aggregator", "FedAvg", "Partial"),
    "fedlit.aggregators.base": ("Message", "State", "Weighting"),
    "fedlit.aggregators.server_step": ("OptimizerFactory",),
    "fedlit.attacks": ("Attack", "CollusiveAttack", "DataAttack", "UplinkAttack"),
    "fedlit.client": ("Client", "Fitted", "Step"),
    "fedlit.round": ("Round",),
    "fedlit.server_round": ("ServerRound",),
    "fedlit.model_vectors": ("Layout", "Model", "merge", "select", "stack", "tree_map"),
    "fedlit.messages.stages": ("Stage",),
    "fedlit.messages.reductions": ("Reduction",),
    "fedlit.messages.wire": ("Wire", "unflatten_message"),
    "fedlit.partitions": ("Labelled", "Partition", "Shards"),
    "fedlit.samplers": ("Probe", "Sampler"),
    "fedlit.schedules": ("RoundSchedule",),
    "fedlit.data": ("Batch", "DataSource", "Samples", "TensorSamples", "Transform"),
    "fedlit.randomness": ("keyed_uniform",),
    "fedlit.tracking": ("About", "Logger"),
    "fedlit.stores": ("Store",),
    "fedlit.training": ("Trainer",),
    "fedlit.engines": ("Engine",),
    "fedlit.errors": ("InputError",),
    "fedlit.saved_run": ("SavedRun", "runs_in"),
    "fedlit.stop": ("Stop",),
    "fedlit.simulation": ("Run", "federate", "load", "simulate"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from fedlit.quick_imports import brief_spinning

    with brief_spinning():
        value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value  # later uses do not come here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""Twelve methods with one column, `clients/used`: Fashion-MNIST under strong label skew."""

from __future__ import annotations

from itertools import product

from benchmarks.figures.setting import Case, Setting

USED = "clients/used/accuracy"
RATES = (0.02, 0.1)  # learning rates of the grid

METHODS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "fedavg": (("aggregator=fedavg",), ()),
    "fedavg_finetune": (("aggregator=fedavg", "evaluation.finetune=5"), ()),
    "local": (("aggregator=local",), ()),
    "perfedavg": (
        ("aggregator=perfedavg", "aggregator.hessian=first_order", "aggregator.personal_steps=5"),
        ("aggregator.alpha=0.01", "aggregator.alpha=0.1"),
    ),
    "fedamp": (("aggregator=fedamp",), ("aggregator.sigma=10", "aggregator.sigma=1e6")),
    "apfl": (("aggregator=apfl",), ("aggregator.alpha=0.25", "aggregator.alpha=0.75")),
    "pfedme": (("aggregator=pfedme", "aggregator.personal_lr=0.05"), ("aggregator.lam=5", "aggregator.lam=15")),
    "fedper": (("aggregator=fedper",), ()),
    "ditto": (("aggregator=ditto",), ("aggregator.lam=0.01", "aggregator.lam=0.1")),
    "fedrep": (("aggregator=fedrep",), ("aggregator.head_epochs=2", "aggregator.head_epochs=5")),
    "fedbabu": (("aggregator=fedbabu",), ("aggregator.finetune_epochs=1", "aggregator.finetune_epochs=5")),
    "fedala": (("aggregator=fedala",), ("aggregator.eta=1", "aggregator.eta=10")),
}
"""Method: its overrides, and the values of its hyperparameter that the grid tries."""

CHOSEN: dict[str, tuple[str, ...]] = {
    "fedavg": ("optimizer.lr=0.1",),
    "fedavg_finetune": ("optimizer.lr=0.02",),
    "local": ("optimizer.lr=0.1",),
    "perfedavg": ("optimizer.lr=0.1", "aggregator.alpha=0.1"),
    "fedamp": ("optimizer.lr=0.02", "aggregator.sigma=1e6"),
    "apfl": ("optimizer.lr=0.1", "aggregator.alpha=0.25"),
    "pfedme": ("optimizer.lr=0.1", "aggregator.lam=5"),
    "fedper": ("optimizer.lr=0.1",),
    "ditto": ("optimizer.lr=0.02", "aggregator.lam=0.01"),
    "fedrep": ("optimizer.lr=0.1", "aggregator.head_epochs=5"),
    "fedbabu": ("optimizer.lr=0.02", "aggregator.finetune_epochs=5"),
    "fedala": ("optimizer.lr=0.02", "aggregator.eta=10"),
}
"""The best of the grid, by the validation accuracy of `TUNING`."""

LABELS = {
    "fedavg": "FedAvg",
    "fedavg_finetune": "FedAvg, fine-tuned for 5 epochs",
    "local": "each client alone",
    "perfedavg": "Per-FedAvg",
    "fedamp": "FedAMP",
    "apfl": "APFL",
    "pfedme": "pFedMe",
    "fedper": "FedPer",
    "ditto": "Ditto",
    "fedrep": "FedRep",
    "fedbabu": "FedBABU",
    "fedala": "FedALA",
}

PFLLIB = {  # pfllib.com/benchmark.html, FMNIST, practical label skew
    "fedavg": "85.85",
    "perfedavg": "95.10",
    "fedamp": "97.20",
    "apfl": "97.25",
    "pfedme": "97.25",
    "ditto": "97.47",
    "fedala": "97.66",
    "fedper": "97.44 (unconfirmed)",
    "fedrep": "97.56 (unconfirmed)",
}

COMMON = (
    *("data=fashion_mnist", "data.download=true", "server_samples=50000", "clients=20", "partition=dirichlet"),
    *("partition.alpha=0.1", "model=two_nn", "local_epochs=5", "batch_size=32", "trainer=vectorized"),
)

SETTING = Setting(
    title="Twelve methods on Fashion-MNIST, Dirichlet 0.1: the model that a client would use",
    claim="Zhang et al. 2025, PFLlib, benchmark page (pfllib.com/benchmark.html), Fashion-MNIST in the practical label "
    "skew setting; those of FedPer and FedRep could not be looked up.",
    notes="PFLlib has a CNN, all 70,000 images and 2,000 rounds; here two_nn, 10,000 training images and 20 rounds "
    "of five epochs. So the order of the methods is compared, not the figures. The learning rate and one "
    "hyperparameter of each method are the best of a grid of at most four (`personal_tuning`: another seed, ten "
    "rounds, validation data). The runs shared two cores with other work: the shortest run of each method adds up to "
    "24 minutes a seed.",
    overrides=(*COMMON, "rounds=20", "evaluation.every=10"),
    cases={name: Case((*own, *CHOSEN[name]), PFLLIB.get(name, "")) for name, (own, _) in METHODS.items()},
    measures={"mean over clients": f"{USED}/mean", "worst decile": f"{USED}/worst_decile"},
    reached="FedAvg {fedavg[mean over clients]:.1f}, alone {local[mean over clients]:.1f}, fine-tuned "
    "{fedavg_finetune[mean over clients]:.1f}, Per-FedAvg {perfedavg[mean over clients]:.1f}, FedRep "
    "{fedrep[mean over clients]:.1f}, Ditto {ditto[mean over clients]:.1f}",
    paper="FedAvg 85.9, Per-FedAvg 95.1, Ditto 97.5",
    labels=LABELS,
)


def _grid() -> dict[str, Case]:
    cases = {}
    for name, (own, values) in METHODS.items():
        for number, (rate, value) in enumerate(product(RATES, values or ("",))):
            cases[f"{name}_{number}"] = Case((*own, f"optimizer.lr={rate}", *filter(None, [value])))
    return cases


TUNING = Setting(
    title="The grid of the twelve methods",
    claim="No claim: it chooses the hyperparameters of the setting below.",
    notes="The same learning rates for each method, and two values of its hyperparameter where it has one; ten rounds.",
    overrides=(*COMMON, "rounds=10", "evaluation.every=10", "evaluation.client_validation=0.2"),
    cases=_grid(),
    measures={"validation": "clients/used/validation_accuracy/weighted"},
    reached="",
    seeds=(100,),
)

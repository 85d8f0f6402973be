"""The settings of `make figures`, in the order in which they run: the short ones first."""

from __future__ import annotations

from benchmarks.figures import backdoor, bucketing, compression, messages_sweep, personal, value_of_federation
from benchmarks.figures.grouping import right_pairs
from benchmarks.figures.niid_bench import best_accuracy
from benchmarks.figures.setting import Case, Setting

USED = "clients/used/accuracy"
ANGLES = "partition.angles=[0,90,180,270]"

FAIRNESS = Setting(
    title="q-FedAvg raises the accuracy of the worst clients",
    claim="Li et al. 2020, Fair Resource Allocation in Federated Learning (arXiv:1905.10497), table 1, Synthetic. The "
    "figures could not be looked up; the generator of the data was compared with the authors' code.",
    notes="As in the authors' code: 100 clients, ten in a round, drawn by their sizes and weighted equally, a local "
    "epoch of batches of 10, learning rate 0.1. There 20,000 rounds and five splits of one data set; here "
    "5,000 rounds, when accuracies still rise, and other data for each seed. The logarithm of a client's size has the "
    "standard deviation 1, that of the authors' generate_hybrid.py. With 2, that of generate_synthetic.py, a few "
    "clients have most of the samples. q = 0 is FedAvg.",
    overrides=(
        *("data=synthetic", "data.size_log_std=1", "data.seed=${seed}", "partition=natural", "clients=100"),
        *("sampler._target_=benchmarks.figures.by_size.BySize", "+sampler.clients_per_round=10", "model=logistic"),
        *("batch_size=10", "optimizer.lr=0.1", "rounds=5000", "evaluation.every=1000", "aggregator=qfedavg"),
        *("aggregator.weighting=uniform", "trainer=vectorized"),
    ),
    cases={
        "q0": Case(("aggregator.q=0",), "18.8; mean 80.8"),
        "q1": Case(("aggregator.q=1",), "31.1; mean 79.0"),
    },
    measures={
        "worst decile": f"{USED}/worst_decile",
        "mean over clients": f"{USED}/mean",
        "mean over samples": f"{USED}/weighted",
    },
    reached="worst decile {q0[worst decile]:.1f} to {q1[worst decile]:.1f}, mean {q0[mean over clients]:.1f} to "
    "{q1[mean over clients]:.1f}",
    seeds=(0, 1, 2, 3, 4),
    paper="worst decile 18.8 to 31.1, mean 80.8 to 79.0 (unconfirmed)",
    labels={"q0": "q = 0", "q1": "q = 1"},
)

CLUSTERS = Setting(
    title="IFCA and CFL find four planted clusters",
    claim="Ghosh et al. 2020 (arXiv:2006.04088), section on rotated MNIST, and Sattler et al. 2020 (arXiv:1910.01991): "
    "the clients of each planted cluster end up together. The papers' tables could not be looked up.",
    notes="MNIST rotated by 0, 90, 180 or 270 degrees. IFCA: 200 images a client, the authors' network of 200 hidden "
    "units, ten steps on all images of a client with learning rate 0.1; 40 clients here, 1,200 there, and 40 rounds in "
    "place of 300. CFL: 20 clients of 500 images; eps1 and eps2 were chosen by hand. The share is that of client pairs "
    "rightly together or apart (Rand index); one cluster of all 20 clients would have 21.1. With one of three seeds "
    "(85.1) IFCA's random models end in another grouping: two planted clusters share a model, and a third has two.",
    overrides=("data=mnist", "data.download=true", "partition=feature", ANGLES, "model=mlp", "trainer=vectorized"),
    cases={
        "ifca": Case(
            (
                *("aggregator=ifca", "aggregator._target_=benchmarks.figures.grouping.RecordedIFCA"),
                *("aggregator.clusters=4", "clients=40", "server_samples=52000", "batch_size=200"),
                *("local_updates=10", "rounds=40", "evaluation.every=20"),
            ),
            "all",
        ),
        "cfl": Case(
            (
                *("aggregator=cfl", "aggregator.eps1=0.4", "aggregator.eps2=0.8", "clients=20", "server_samples=50000"),
                *("batch_size=50", "local_epochs=2", "rounds=30", "evaluation.every=30"),
            ),
            "all",
        ),
    },
    measures={"right pairs": right_pairs, "accuracy": f"{USED}/weighted"},
    reached="right pairs of clients: IFCA {ifca[right pairs]:.1f}, CFL {cfl[right pairs]:.1f}",
    paper="all clients",
    labels={"ifca": "IFCA", "cfl": "CFL"},
)

FEATURE_SHIFT = Setting(
    title="FedBN is above FedAvg under feature shift",
    claim="Li et al. 2021 (arXiv:2102.07623), abstract: FedBN outperforms FedAvg on data with feature shift. The "
    "paper's digits are five data sets; its figures could not be looked up.",
    notes="MNIST, of which each client has 500 images in its own brightness, contrast and noise. Equal learning rates.",
    overrides=(
        *("data=mnist", "data.download=true", "server_samples=55000", "clients=10", "partition=feature"),
        *("partition.rotation=0", "partition.colour=1", "partition.noise=1", "model=cnn_bn", "batch_size=32"),
        *("model.channels=[16,32]", "model.hidden=128"),
        *("optimizer.lr=0.01", "rounds=20", "evaluation.every=20", "trainer=vectorized"),
    ),
    cases={"fedavg": Case(("aggregator=fedavg",)), "fedbn": Case(("aggregator=fedbn",), "above FedAvg")},
    measures={"mean over clients": f"{USED}/mean", "worst decile": f"{USED}/worst_decile"},
    reached="FedAvg {fedavg[mean over clients]:.1f}, FedBN {fedbn[mean over clients]:.1f}",
    paper="FedBN above FedAvg",
    labels={"fedavg": "FedAvg", "fedbn": "FedBN"},
)

LABEL_SKEW = Setting(
    title="NIID-Bench: four algorithms on MNIST with two labels a client",
    claim="Li et al. 2022 (arXiv:2102.02079), rerun in Flower's baseline niid_bench, table of its README, MNIST, Sort "
    "and Partition (2): best accuracy over 50 rounds.",
    notes="The baseline's setting (10 clients, its partition, pixels from 0 to 1, batches of 64, SGD with learning "
    "rate 0.01, momentum 0.9 and weight decay 1e-5, ten local epochs), but ten rounds. Accuracies still "
    "rise then, and that of FedAvg falls by up to 21 points from one round to the next. FedAvg's run of seed 0 went "
    "on to 50 rounds (a copy of its folder, resume=<folder> rounds=50; 80 minutes beside other work): 93.8 in round "
    "22, 97.1 at best, in round 40.",
    overrides=(
        *("data=mnist", "data.download=true", "data.normalize=none", "clients=10"),
        *("partition._target_=benchmarks.figures.niid_bench.NiidBenchPartition", "+partition.classes_per_client=2"),
        *("model._target_=benchmarks.figures.niid_bench.NiidBenchCnn", "batch_size=64", "optimizer.lr=0.01"),
        *("optimizer.momentum=0.9", "optimizer.weight_decay=0.00001", "local_epochs=10", "rounds=10"),
        *("trainer=vectorized", "evaluation.clients=0"),
    ),
    cases={
        "fedavg": Case(("aggregator=fedavg",), "96.6"),
        "fedprox": Case(("aggregator=fedprox", "aggregator.mu=0.01"), "96.7"),
        "scaffold": Case(("aggregator=scaffold",), "96.6"),
        "fednova": Case(("aggregator=fednova",), "96.5"),
    },
    measures={"best of ten rounds": best_accuracy, "after round 10": "global/test/accuracy"},
    reached="FedAvg {fedavg[best of ten rounds]:.1f}, FedProx {fedprox[best of ten rounds]:.1f}, "
    "SCAFFOLD {scaffold[best of ten rounds]:.1f}, FedNova {fednova[best of ten rounds]:.1f} (best of ten rounds)",
    paper="96.6, 96.7, 96.6, 96.5 (best of 50 rounds)",
    labels={"fedavg": "FedAvg", "fedprox": "FedProx", "scaffold": "SCAFFOLD", "fednova": "FedNova"},
)

SETTINGS = {
    "fairness": FAIRNESS,
    "clusters": CLUSTERS,
    "feature_shift": FEATURE_SHIFT,
    "label_skew": LABEL_SKEW,
    "value_of_federation": value_of_federation.SETTING,
    "personal_tuning": personal.TUNING,
    "personal": personal.SETTING,
    "compression": compression.SETTING,
    "backdoor": backdoor.SETTING,
    "messages_sweep": messages_sweep.SETTING,
    "byzantine": bucketing.SETTING,
}

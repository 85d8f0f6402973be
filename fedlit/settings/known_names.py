"""Names of options that users know from papers and other frameworks, and what to write for them in fedlit.

A name that becomes an option is deleted here; a test finds it. Commands stand between backquotes, and each composes.
`{at}` is the place of the option: `aggregator`, `optimizer@aggregator.server_optimizer`, `aggregator.server_optimizer`.
"""

from __future__ import annotations

from fedlit.settings.closest import normalised, slips


def by_name(table: dict[str, str]) -> dict[str, str]:
    """`{"a b": text}` -> `{"a": text, "b": text}`."""
    return {name: text for names, text in table.items() for name in names.split()}


_OWN = "write it as a class of your own, `{at}._target_=mine.%s`"
_REDUCTION = "write it as a class of your own, `reduction._target_=mine.%s`"
_STAGE = "write it as a class of your own, `uplink.%s._target_=mine.%s`"

NOT_SHIPPED: dict[str, dict[str, str]] = {  # group, or key -> name -> what is nearest in meaning
    "aggregator": by_name(
        {
            "fedopt": "it is a family, of which FedAdam is the usual choice, `aggregator=fedadam`",
            "fedmom slowmo": "it is FedAvg with momentum on the server, `aggregator=fedavgm`",
            "fedcm mime fedlin afl feddf fedgen fedmd fedproto ccvr": _OWN % "Algorithm",
            "secagg": "a sum that the server cannot read is a reduction, `reduction=secure`",
        }
    ),
    "optimizer": {
        normalised(name): f"it is torch's own class, `{{at}}._target_=torch.optim.{name}`"
        for name in ("RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop", "LBFGS")
    }
    | by_name({"yogi lamb lars lion sam": _OWN % "Optimizer"}),
    "partition": by_name(
        {
            "noniid": "several are: by labels `partition=dirichlet` or `partition=shards`, by sizes "
            "`partition=quantity`",
        }
    ),
    "trainer": by_name({"cpu gpu cuda": "clients train where the key device says, `device=gpu` or `device=cpu`"}),
    "lr_schedule": by_name({"warmup": "it is a key of every schedule, `lr_schedule=constant lr_schedule.warmup=5`"}),
    "protocol": by_name(
        {
            "vertical vfl": "it is a family, `protocol=secureboost`, `protocol=linear_he` and `protocol=logistic_he`",
            "splitnn splitlearning split": "the parties here exchange no layers; write it as a class of your own after "
            "`protocol=linear_he`",
        }
    ),
    "sampler": by_name({"powerofchoice oort fedcs divfl": _OWN % "Sampler"}),
    "data": by_name(
        {
            "femnist": "it has a writer for each sample, which emnist has not: " + _OWN % "Data",
            "kmnist qmnist svhn celeba imagenet tinyimagenet reddit stackoverflow": _OWN % "Data",
        }
    ),
    "logger": by_name(
        {
            "neptune comet aim clearml": "metrics.jsonl in the run folder has all numbers; for another place subclass "
            "fedlit.tracking.Logger and write logger.mine._target_=mine.MyLogger"
        }
    ),
    "uplink": by_name({"dp differentialprivacy noise": _STAGE % ("noise", "Noise")}),
    "reduction": by_name(
        {
            "secagg secureaggregation bonawitz": "it is `reduction=secure`",
            "he homomorphic tenseal": "it is `reduction=ckks`, or for teaching `reduction=paillier`",
            "auror zeno sear signguard": _REDUCTION % "Robust",
        }
    ),
}

OTHER_NAMES: dict[str, dict[str, str]] = {  # group -> other name -> option
    "aggregator": by_name(
        {"average averaging": "fedavg", "standalone solo": "local", "pooled": "centralized", "qffl": "qfedavg"}
    ),
    "sampler": by_name({"random": "uniform", "full": "all", "bernoulli": "poisson"}),
    "partition": by_name(
        {"homogeneous random": "iid", "sites": "natural", "labelskew lda": "dirichlet", "pathological": "shards"}
    ),
    "lr_schedule": by_name(
        {"steplr": "step", "cosineannealing cosineannealinglr": "cosine", "exponentiallr exp": "exponential"}
    ),
    "engine": by_name({"multiprocessing parallel mp": "processes", "sequential single": "serial"}),
    "protocol": by_name(
        {
            "horizontal hfl federated default": "rounds",
            "linear linearregression vfl_linear": "linear_he",
            "logistic logisticregression heterolr": "logistic_he",
            "boosting boost xgboost gbdt sbt heterosecureboost": "secureboost",
        }
    ),
    "cipher": by_name({"none null": "plain", "phe pailliercipher": "paillier", "okamotouchiyama": "ou"}),
    "alignment": by_name({"psi ecdhpsi x25519 intersection": "ecdh"}),
    "trainer": by_name({"stacked vmap": "vectorized", "pl": "lightning"}),
    "store": by_name({"ram": "memory", "sqlite": "disk"}),
    "reduction": by_name(
        {
            "average averaging fedavg weightedmean": "mean",
            "rfa gm geomedian": "geometric_median",
            "coordinatemedian coordinatewisemedian cwmed comed": "median",
            "trmean trimmed trim": "trimmed_mean",
            "cc clipping centeredclip ccclip": "centered_clipping",
            "normclipping normclip normthresholding": "norm_bound",
            "mkrum": "multikrum",
            "nearestneighbormixing mixing": "nnm",
            "bucket": "bucketing",
            "divideandconquer": "dnc",
        }
    ),
    "uplink": by_name(
        {
            "sparsify sparsification sparse": "topk",
            "randk randomsparsification": "randomk",
            "quantize quantization quantise quantized": "qsgd",
            "sign efsignsgd signum": "signsgd",
            "ternary": "terngrad",
            "lowrank": "powersgd",
            "fp16 float16 bf16 bfloat16 halfprecision": "half",
            "clipping normclip gradclip": "clip",
        }
    ),
    "downlink": by_name({"fp16 float16 bf16 bfloat16 halfprecision": "half"}),
    "attack": by_name(
        {
            "alittleisenough little": "alie",
            "innerproduct innerproductmanipulation": "ipm",
            "signflipping reversegradient bitflip inverse": "sign_flip",
            "labelflipping labelpoisoning": "label_flip",
            "noise random randomgaussian": "gaussian",
            "modelreplacement replacement boosting": "scaling",
            "trigger dba badnets": "backdoor",
            "zero lazy freeriding freeloader": "free_rider",
        }
    ),
}

OTHER_GROUPS: dict[str, dict[str, str]] = {  # group -> a name of what another group does -> the override
    "uplink": by_name({"attack byzantine malicious adversary": "attack=sign_flip"}),
    "aggregator": by_name({"rfa": "reduction=geometric_median", "byzantine robust": "reduction=krum"}),
}

PLUGINS: dict[str, dict[str, str]] = {  # group of Hydra -> option -> what pip has to install
    "hydra/launcher": by_name(
        {
            "submitit submitit_slurm submitit_local slurm": "'fedlit[submitit]'",
            "joblib": "'fedlit[joblib]'",
            "ray ray_aws": "hydra-ray-launcher",
            "rq": "hydra-rq-launcher",
        }
    ),
    "hydra/sweeper": by_name(
        {"optuna": "'fedlit[optuna]'", "ax": "hydra-ax-sweeper", "nevergrad": "hydra-nevergrad-sweeper"}
    ),
    "hydra/job_logging": {"colorlog": "hydra-colorlog"},
    "hydra/hydra_logging": {"colorlog": "hydra-colorlog"},
}


def known_name(group: str, value: str, at: str) -> str | None:
    """The advice for an option that fedlit does not have, `scaffold is not shipped; ...`; None for an unknown name.

    Args:
        group: a group, or a key such as `uplink`.
        value: the option that was asked for; one or two letters may be wrong.
        at: the package of the option, `aggregator.server_optimizer`.
    """
    plugins = PLUGINS.get(group, {})
    table = plugins or NOT_SHIPPED.get(group, {})
    asked = normalised(value)
    is_long = len(asked) > 5  # two short names, such as fedpd and fedmd, often differ in one letter
    spelt = [
        n for n in slips(value, table) if normalised(n) == asked or (is_long and len(normalised(n)) <= len(asked) + 1)
    ]
    if not spelt:
        return None
    if plugins:
        return f"it comes with a package of its own, pip install {plugins[spelt[0]]}."
    name = value if asked == normalised(spelt[0]) else f"{spelt[0]}, if it is meant,"
    return f"{name} is not shipped; {table[spelt[0]].replace('{at}', at)}."


def is_known(group: str, value: str) -> bool:
    """Whether a name stands in the tables as it is written."""
    return normalised(value) in map(normalised, {**PLUGINS.get(group, {}), **NOT_SHIPPED.get(group, {})})


def plugin_package(reason: str) -> str | None:
    """What pip installs for an option of Hydra's, if Hydra says that it does not find the option."""
    options = ((f"{group}/{name}", package) for group, names in PLUGINS.items() for name, package in names.items())
    return next((package for option, package in options if f"{option}'" in reason), None)

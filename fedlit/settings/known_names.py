"""Names that users know from papers and other frameworks, and what to write for them in fedlit.

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
            "secagg": _REDUCTION % "SecAgg",
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
            "secagg secureaggregation": _REDUCTION % "SecAgg",
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

KEYS: dict[str, str] = by_name(  # name at the top level -> key or group
    {
        "numclients nclients totalclients numusers users numsupernodes supernodes maxclients": "clients",
        "numrounds nrounds maxrounds globalrounds commrounds commround communicationrounds serverrounds "
        "numserverrounds globalepochs globalepoch centralnumiterations numiterations": "rounds",
        "cohortsize clientsperround numclientsperround numsampledclients": "sampler.number",
        "fractionfit fractiontrain fraction frac clientfraction joinratio samplerate samplingrate": "participation",
        "epochs numepochs maxepochs localep clientepochs epoch localnumepochs numlocalepochs": "local_epochs",
        "maxsteps localsteps numsteps localiterations nummaxsteps numupdates nupdates": "local_updates",
        "bs batch localbs trainbatchsize localbatchsize": "batch_size",
        "valbatchsize testbatchsize evalbatchsize": "evaluation.batch_size",
        "valfraction valratio valsplit validationfraction validationsplit": "evaluation.client_validation",
        "learningrate locallr clientlr locallearningrate clientlearningrate": "optimizer.lr",
        "serverlr globallr centrallr serverlearningrate globallearningrate centrallearningrate": "aggregator."
        "server_optimizer.lr",
        "servermomentum globalmomentum centralmomentum": "aggregator.server_optimizer.momentum",
        "serveroptimizer serveropt globaloptimizer centraloptimizer": "optimizer@aggregator.server_optimizer",
        "randomseed globalseed": "seed",
        "accelerator cuda gpu": "device",
        "numthreads": "threads",
        "precision": "trainer.precision",
        "outputdir outdir savedir logdir outputfolder workspace": "hydra.run.dir",
        "runname expname experimentname": "name",
        "resumefrom ckpt ckptpath checkpointpath": "resume",
        "algorithm algo alg strategy method": "aggregator",
        "dataset datamodule": "data",
        "network net arch architecture": "model",
        "partitioner split": "partition",
        "dirichletalpha concentration": "partition.alpha",
        "clientselection selection": "sampler",
        "opt clientoptimizer": "optimizer",
        "finetuneepoch finetuneepochs finetuningepochs finetuning fte": "evaluation.finetune",
        "publicsamples publicdata publicsize": "data.public",
        "stages compression compressor compress sparsification quantization": "uplink",
        "defense defence robustaggregation robustaggregator aggregationrule robustrule gar": "reduction",
        "adversary byzantine attacktype attackmethod attackname": "attack",
    }
)

GROUP_KEYS: dict[str, dict[str, str]] = {  # group -> name -> its keys that may be meant, the likeliest first
    "aggregator": by_name(
        {
            "proximalmu proxmu": "mu",
            "lambda lamda lmbda lmd reg": "lam",
            "serverlr globallr lr learningrate serverlearningrate globallearningrate etag": "server_optimizer.lr eta",
            "servermomentum globalmomentum momentum gmf": "beta beta_1 server_optimizer.momentum",
            "beta1 betas": "beta_1",
            "temperature t": "tau",
            "tauh headsteps numheadepochs plocalepochs personalsteps": "head_epochs personal_epochs personal_steps",
            "finetuningsteps finetunesteps": "finetune_epochs",
            "k numclusters nclusters": "K clusters",
            "plearningrate personallearningrate plr": "personal_lr",
            "qparam": "q",
        }
    ),
    "reduction": by_name(
        {
            "nummalicious nmalicious numbyzantine nbyzantine nbyz numattackers numadversaries b": "f",
            "clippingthreshold threshold radius bound": "tau",
            "bucketsize": "s",
            "numselected": "m",
            "maxiter maxiterations niter": "iterations",
            "subdim subdimension": "coordinates",
            "lambda": "lam",
        }
    ),
    "uplink": by_name(
        {
            "ratio fraction sparsity compressratio compressionratio k topkratio": "share",
            "quantizationlevel numlevels s": "levels",
            "clippingnorm clipnorm maxnorm bound threshold c": "norm",
            "errorfeedback ef memory": "feedback",
            "r rankapproximation": "rank",
        }
    ),
    "attack": by_name(
        {
            "number fraction ratio malicious nummalicious numbyzantine numattackers attackers": "clients",
            "start from every": "rounds",
            "factor": "scale gamma epsilon",
            "zmax": "z",
            "targetclass": "target",
            "poisonratio": "share",
        }
    ),
    "evaluation": by_name(
        {
            "finetuneepoch finetuneepochs finetuningepochs finetuning fte": "finetune",
            "only finetunelayers finetuneparams": "finetune_only",
        }
    ),
    "lr_schedule": by_name(
        {
            "gamma decay decayrate lrdecay": "factor",
            "stepsize every decaysteps decayrounds": "interval",
            "warmuprounds warmupsteps warmupepochs": "warmup",
            "minlr etamin": "final",
        }
    ),
}

OTHER_VALUES: dict[str, str] = {  # the beginning of a value -> the word that is allowed
    "cuda": "gpu",
    "double": "64-true",
    "float64": "64-true",
    "float32": "32-true",
}

SENTENCES: dict[str, str] = by_name(  # name at the top level -> what to write
    {
        "devices gpus numgpus ngpus": "a client is trained on one device, and several devices train several clients: "
        "`engine=processes device=gpu` has a worker a GPU",
        "numworkers workers njobs nprocs": "clients are trained in parallel by `engine=processes "
        "engine.workers={value}`; loader workers are those of your own data class",
        "minfitclients minclients minavailableclients minevaluateclients": "a round waits for every client that it "
        "asks, a fraction `participation=0.1` of them or a number `sampler.number={value}`",
        "lrscheduler scheduler": "a schedule over rounds is `lr_schedule=cosine`, and one within a fit is returned by "
        "configure_optimizers of a module of your own, `model._target_=mine.Net`",
        "published": "published values are in the YAML of an experiment (`experiment=flamby_heart`), and "
        "`python -m fedlit.reproduce` compares runs with them",
        "nummalicious numbyzantine numattackers numadversaries byzantineclients maliciousclients": "how "
        "many clients are malicious is a key of each attack, `attack=sign_flip attack.clients=0.2`",
        "earlystopping earlystop": "a run ends early by `stop.patience=5` or `stop.target=0.9`",
        "targetaccuracy": "a run ends at a value by `stop.metric=global/test/accuracy stop.target={value}`",
        "profiler": "a table of where the time of the rounds goes is `debug=profile`",
        "callbacks": "callbacks are returned by configure_callbacks of a module of your own, `model._target_=mine.Net`",
    }
)

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

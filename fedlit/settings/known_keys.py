"""Names of keys that users know from papers and other frameworks, and what to write for them in fedlit.

Commands stand between backquotes, and each composes.
"""

from __future__ import annotations

from fedlit.settings.known_names import by_name

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
            "clippingthreshold radius bound": "tau",
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
        "malicious attackers adversaries nummalicious numbyzantine numattackers numadversaries byzantineclients "
        "maliciousclients maliciousratio maliciousfraction attackratio poisonedclients": "how "
        "many clients are malicious is a key of each attack, `attack=sign_flip attack.clients=0.2`",
        "earlystopping earlystop": "a run ends early by `stop.patience=5` or `stop.target=0.9`",
        "targetaccuracy": "a run ends at a value by `stop.metric=global/test/accuracy stop.target={value}`",
        "profiler": "a table of where the time of the rounds goes is `debug=profile`",
        "callbacks": "callbacks are returned by configure_callbacks of a module of your own, `model._target_=mine.Net`",
    }
)

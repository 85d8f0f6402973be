"""Sweeps: many runs of one command line, which can be killed and resumed.

**No launcher, no sweeper of its own.** `plan.py` lists the jobs of a sweep before the first one starts: their words,
their folders, and how far each has come. `Application.sweep` hands those that are not finished to the launcher
(`hydra/launcher=...`), all at once, in place of Hydra's BasicSweeper. A sweeper that chooses its jobs as it goes on
(Optuna) has no plan: `sweep.json` has `"jobs": null`, and `study.py` stands between it and the launcher.

**A job knows nothing of the others.** It may run in this process, in another one or on another machine. It gets its
folder by the word `hydra.sweep.subdir=<folder>`, which the plan adds to each job. A job whose folder holds rounds goes
on from the newest checkpoint, by `settings.resume`; if the run in it is finished, it returns at once.

**Files tell how a job ended**: `summary.json` for a run that came to its end, else `failure.txt`, one sentence. The
process that started the sweep reads them (`run_lines.py`) and prints a line for each run that has ended, while the
launcher waits for other processes; a job in this process says itself that it has ended. After the last job
`sweep_end.py` prints the table. What a job returns to Hydra is an `Ended` with its exit code.

| file | content |
|---|---|
| `sweep_record.py` | `sweep.json`: the command's words, the swept keys, the jobs with their folders |
| `run_names.py` | the name of a run and of its folder: what was varied |
| `same_run.py` | whether a saved run is that of a job, by its configuration |
| `plan.py` | the jobs: new, begun or finished |
| `resumed_sweep.py` | `resume=<sweep folder>` as the command line that it stands in for |
| `sweep.py`, `run_sweep.py` | a sweep that is ready to start; how it is run and ends |
| `launch.py` | what stands around each of Hydra's launchers |
| `joblib_jobs.py`, `submitit_jobs.py` | runs in other processes: signals, cores, processes that are killed |
| `job_process.py` | a job in a process of its own |
| `study.py`, `study_checks.py`, `objective.py` | a sweeper that chooses runs by results, and what it optimises |
| `run_lines.py`, `no_lines.py` | a line for each run; none |
| `sweep_end.py` | the table, the failed runs, the commands, and the exit code |
"""

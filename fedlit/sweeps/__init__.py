"""Sweeps: many runs of one command line, which can be killed and resumed.

**No launcher, no sweeper of its own.** `plan.py` lists the jobs of a sweep before the first one starts: their words,
their folders, and how far each has come. `Application.sweep` hands those that are not finished to the launcher
(`hydra/launcher=...`), all at once, in place of Hydra's BasicSweeper. A sweeper that chooses its jobs as it goes on
(Optuna) has no plan: `plan` is None, `sweep.json` has `"jobs": null`, and Hydra's own way is gone.

**A job knows nothing of the others.** It may run in this process, in another one or on another machine. It gets its
folder by the word `hydra.sweep.subdir=<folder>`, which the plan adds to each job. In a sweep that goes on
(`Start.goes_on`) a job whose folder holds rounds goes on from the newest checkpoint, by `settings.resume`; if the run
in it is finished, it returns at once. So a sweeper that asks for the same job again, in the same folder, gets the run
that is there.

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
| `run_lines.py` | a line for each run |
| `sweep_end.py` | the table, the failed runs, the commands, and the exit code |
"""

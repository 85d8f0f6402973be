"""The command: `python -m fedlit.export <run folder> [personal=true|<client>] [format=safetensors|lightning] [...]`.

The exit code is 0, 2 if an input cannot be used (one sentence, no trace), 74 if a file cannot be written,
130 after Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fedlit.after_run import words as words_of
from fedlit.command_end import exit_code
from fedlit.errors import InputError
from fedlit.terminal_encoding import escape_on_output

HELP = """\
python -m fedlit.export <run folder> [key=value ...]

Writes the trained models of a run as files that are read without fedlit.

checkpoint=last|best|<round>  the saved models; 0 is the first weights; default: last
personal=true       the model of each client, client_0003.safetensors; personal=<client> that of one client
format=safetensors  model.safetensors, a plain state_dict (default); format=lightning: model.ckpt, which
                    Net.load_from_checkpoint loads
out=<folder>        where they are written; default: export/ in the run folder
data.root=<folder>  where the run's data lie now
"""
KEYS = ("checkpoint", "personal", "format", "out")
MAY_CHANGE = ("data", "device", "trainer.accelerator", "trainer.devices")
FORMATS = {"safetensors": ".safetensors", "lightning": ".ckpt"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Export the models of the run of a command line (that of this process by default), and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    escape_on_output()
    return exit_code(lambda: _export(words), "out=<folder>")


def _export(words: Sequence[str]) -> int:
    if {"--help", "-h"} & set(words):
        print(HELP)
        return 0
    given = words_of.read(words, "fedlit.export", KEYS, MAY_CHANGE)
    kind = given.values.get("format", "safetensors")
    if kind not in FORMATS:
        raise InputError(f"format={kind}: the formats are {' and '.join(FORMATS)}; write format=safetensors.")
    personal = given.values.get("personal", False)
    client = None if isinstance(personal, bool) else words_of.client_of(personal)
    folder = given.saved.folder / "export"
    if "out" in given.values:
        folder = words_of.folder_of(given.values["out"], FORMATS.values())
    from fedlit.after_run.exported import lightning_writer, write_safetensors
    from fedlit.after_run.measured import check_personal
    from fedlit.after_run.reopened import reopened
    from fedlit.atomic_files import writing
    from fedlit.trained_models import global_module, personal_module

    _check_installed(kind)
    with reopened(given.saved, given.values.get("checkpoint", "last"), given, MAY_CHANGE) as run:
        if run.other_data is not None:
            raise InputError(f"data: these are not the data of the run {given.saved.folder}; leave the words out.")
        write, needed = (write_safetensors, []) if kind == "safetensors" else lightning_writer(run)
        advice = f"; load_from_checkpoint needs {', '.join(f'{name}=<object>' for name in needed)}" if needed else ""
        facts = {"run": given.saved.name, "checkpoint": run.checkpoint}
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        if personal is False:
            file = folder / f"model{FORMATS[kind]}"
            write(global_module(run.experiment), file, facts)
            print(f"{file}: the global model of {run.title}{advice}")
            return 0
        check_personal(run.experiment, personal)
        clients = range(len(run.experiment.federation.apart().clients)) if client is None else [client]
        for k in clients:
            file = folder / f"client_{k:04d}{FORMATS[kind]}"
            write(personal_module(run.experiment, k), file, facts | {"client": str(k)})
            print(f"{file}: the model of client {k} of {run.title}{advice}")
    return 0


def _check_installed(kind: str) -> None:
    if kind != "safetensors":
        return
    try:
        import safetensors  # noqa: F401
    except ImportError:
        raise InputError(
            "safetensors is not installed; write pip install 'fedlit[export]', or format=lightning."
        ) from None


if __name__ == "__main__":
    sys.exit(main())

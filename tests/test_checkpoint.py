"""Checkpoints of a run folder: intact checkpoints are used, damaged ones are named and skipped."""

from __future__ import annotations

import hashlib
import os
import pickle

import numpy as np
import pytest
import torch

import fedlit.checkpoint
import fedlit.checkpoint_folders
from fedlit.checkpoint import Checkpoints, saved_bits
from fedlit.errors import InputError
from fedlit.model_vectors import Model
from fedlit.run_folder import FORMAT
from fedlit.state import FederationState
from fedlit.stores import MemoryStore


def checkpoints(folder, interval=0.0, keep=2):
    return Checkpoints(folder, {"config.yaml": "seed: 1\n"}, interval, keep, {"threads": 3})


def state(round: int) -> FederationState:
    """A state whose numbers all show the round."""
    store = MemoryStore()
    store.put(round, [(4, {"algorithm": {"head": torch.full((3,), float(round))}})])
    model = Model(torch.full((5,), float(round)), torch.full((2,), -float(round)))
    counters = {"norm.num_batches_tracked": torch.tensor(round)}
    best = {"round": round, "metric": "accuracy", "value": 0.5}
    return FederationState(round, {"model": model, "step": round}, store, counters, best, round + 1, round + 0.5)


def rounds(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def state_file(folder, round: int):
    return folder / "checkpoints" / f"round_{round:04d}" / "state.pt"


def put(folder, round: int, contents: bytes):
    """Other contents of a state file, with the digest that belongs to them."""
    path = state_file(folder, round)
    path.write_bytes(contents)
    path.with_suffix(".sha256").write_text(hashlib.sha256(contents).hexdigest())


def saved(value, path) -> bytes:
    torch.save(value, path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("saved_on", "runs_on", "warns"),
    [("cuda", "cpu", True), ("cpu", "cuda", True), ("cpu", "cpu", False), (None, "cpu", False)],
)
def test_a_run_warns_that_goes_on_on_another_device(saved_on, runs_on, warns, tmp_path, caplog):
    for device in (saved_on, runs_on):
        bits = {"threads": 3} | ({"device": device} if device else {})
        last = Checkpoints(tmp_path, {"config.yaml": ""}, 0, 1, bits)
        last.load(MemoryStore())
        last.save(state(1))
    assert [f"saved on device {saved_on} and the run goes on on {runs_on}" in text for text in caplog.messages] == (
        [True] if warns else []
    )


def test_load_restores_the_state(tmp_path):
    checkpoints(tmp_path).save(state(7))
    store = MemoryStore()
    back = checkpoints(tmp_path).load(store)
    assert back.clients is store
    assert (back.round, back.lost, back.seconds) == (7, 8, 7.5)
    assert back.best == {"round": 7, "metric": "accuracy", "value": 0.5}
    assert isinstance(back.server["model"], Model) and back.server["step"] == 7
    assert back.server["model"].weights.tolist() == [7.0] * 5
    assert back.server["model"].statistics.tolist() == [-7.0] * 2
    assert back.counters == {"norm.num_batches_tracked": torch.tensor(7)}
    [(client, of_client)] = store.items()
    assert client == 4 and of_client["algorithm"]["head"].tolist() == [7.0] * 3
    assert saved_bits(tmp_path) == {"threads": 3}


def test_a_scalar_from_a_gpu_goes_to_the_device_and_one_from_the_cpu_stays(tmp_path, monkeypatch):
    first = state(1)
    first.server |= {"fused": torch.tensor(2.0), "count": torch.tensor(3.0)}
    gpus = {first.server["fused"].untyped_storage().data_ptr()}
    clone = torch.Tensor.clone

    def cloned(tensor):
        new = clone(tensor)
        if tensor.untyped_storage().data_ptr() in gpus:
            gpus.add(new.untyped_storage().data_ptr())
        return new

    tag = torch.serialization.location_tag
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "clone", cloned)
        patch.setattr(torch.serialization, "location_tag", lambda s: "cuda:0" if s.data_ptr() in gpus else tag(s))
        checkpoints(tmp_path).save(first)
    moved = []
    monkeypatch.setattr(torch.UntypedStorage, "to", lambda s, device: moved.append((s.nbytes(), device)) or s)
    back = checkpoints(tmp_path).load(MemoryStore(), "cpu").server
    assert moved == [(4, torch.device("cpu"))]
    assert (float(back["fused"]), float(back["count"])) == (2.0, 3.0)


def test_the_configuration_lies_beside_the_state(tmp_path):
    checkpoints(tmp_path).save(state(1))
    assert (tmp_path / "checkpoints" / "round_0001" / "config.yaml").read_text() == "seed: 1\n"


def test_load_gives_none_if_nothing_was_saved(tmp_path):
    assert checkpoints(tmp_path).load(MemoryStore()) is None
    assert saved_bits(tmp_path) == {}


def test_a_view_is_saved_without_the_rest_of_its_storage(tmp_path):
    stack = torch.zeros(1_000_000, 2)
    checkpoints(tmp_path).save(FederationState(1, {"model": Model(stack[0], stack[1])}, MemoryStore()))
    assert state_file(tmp_path, 1).stat().st_size < 100_000


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_checkpoints_are_kept(tmp_path, keep):
    written = checkpoints(tmp_path, keep=keep)
    for number in (8, 9, 10, 9_999, 10_000):  # names stop sorting as numbers do
        written.save(state(number))
    assert rounds(tmp_path) == sorted(["round_0010", "round_9999", "round_10000"][-keep:])
    assert checkpoints(tmp_path).load(MemoryStore()).round == 10_000


def test_save_if_due_waits_for_the_interval(tmp_path, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(fedlit.checkpoint_folders.time, "monotonic", lambda: now)
    written = checkpoints(tmp_path, interval=60, keep=9)
    for number, now in enumerate([1059.0, 1060.0, 1119.0, 1121.0], start=1):  # noqa: B007
        written.save_if_due(state(number))
    assert rounds(tmp_path) == ["round_0002", "round_0004"]


@pytest.mark.parametrize("at", ["save", "replace"])
def test_a_kill_while_writing_leaves_the_checkpoint_before(tmp_path, monkeypatch, at):
    written = checkpoints(tmp_path)
    written.save(state(1))

    class Killed(BaseException):
        pass

    def killed(*arguments):
        if at == "save":
            arguments[1].write(b"half of it")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(*((torch, "save", killed) if at == "save" else (os, "replace", killed)))
        with pytest.raises(Killed):
            written.save(state(2))
    assert rounds(tmp_path) == [".writing_round_0002", "round_0001"]

    again = checkpoints(tmp_path)
    assert again.load(MemoryStore()).round == 1
    again.save(state(2))
    assert rounds(tmp_path) == ["round_0001", "round_0002"]
    assert checkpoints(tmp_path).load(MemoryStore()).round == 2


def _cut(folder):
    path = state_file(folder, 2)
    path.write_bytes(path.read_bytes()[:-100])


def _flip(folder):
    path = state_file(folder, 2)
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)


def _cut_config(folder):
    path = state_file(folder, 2).with_name("config.yaml")
    path.write_text(path.read_text()[:-3])


def _empty_config(folder):
    state_file(folder, 2).with_name("config.yaml").write_text("")


def _no_config(folder):
    state_file(folder, 2).with_name("config.yaml").unlink()


def _binary_config(folder):
    state_file(folder, 2).with_name("config.yaml").write_bytes(b"\xff\xfe: [")


def _cut_digests(folder):
    path = state_file(folder, 2).with_suffix(".sha256")
    path.write_text(path.read_text()[:64])


def _empty_digests(folder):
    state_file(folder, 2).with_suffix(".sha256").write_text("")


def _binary_digests(folder):
    state_file(folder, 2).with_suffix(".sha256").write_bytes(b"\xff\xfe\n")


def _no_digest(folder):
    state_file(folder, 2).with_suffix(".sha256").unlink()


def _no_state(folder):
    state_file(folder, 2).unlink()


def _text(folder):
    put(folder, 2, b"no tensors at all")


def _foreign(folder):
    put(folder, 2, saved({"state_dict": {"weight": torch.zeros(2)}}, folder / "other.pt"))


def _tensor(folder):
    put(folder, 2, saved(torch.zeros(2), folder / "other.pt"))


def _other_version(folder):
    contents = torch.load(state_file(folder, 2), weights_only=True)
    put(folder, 2, saved(contents | {"version": FORMAT - 1}, folder / "other.pt"))


DAMAGES = {
    _cut: "is cut off or was changed",
    _flip: "is cut off or was changed",
    _cut_config: "config.yaml in the checkpoint",
    _empty_config: "config.yaml in the checkpoint",
    _no_config: "lacks config.yaml",
    _binary_config: "config.yaml in the checkpoint",
    _cut_digests: "is cut off or was changed",
    _empty_digests: "state.sha256 in the checkpoint",
    _binary_digests: "state.sha256 in the checkpoint",
    _no_digest: "lacks state.sha256",
    _no_state: "lacks state.pt",
    _text: "cannot be read as tensors and plain values",
    _foreign: "is no checkpoint of fedlit",
    _tensor: "is no checkpoint of fedlit",
    _other_version: f"has format {FORMAT - 1}, and this fedlit reads format {FORMAT}",
}


@pytest.mark.parametrize(("damage", "says"), DAMAGES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, caplog, damage, says):
    written = checkpoints(tmp_path)
    written.save(state(1))
    written.save(state(2))
    damage(tmp_path)

    again, store = checkpoints(tmp_path), MemoryStore()
    assert again.load(store).round == 1
    assert store.get([4])[0]["algorithm"]["head"].tolist() == [1.0] * 3
    [record] = caplog.records
    assert record.levelname == "WARNING" and "\n" not in record.getMessage()
    assert says in record.getMessage() and "round_0002" in record.getMessage()
    assert record.getMessage().endswith("; round_0001 is used instead")
    assert saved_bits(tmp_path) == {"threads": 3}

    again.save(state(2))  # the round runs again, and its intact checkpoint replaces the damaged one
    assert checkpoints(tmp_path).load(MemoryStore()).round == 2


def test_a_run_folder_with_only_damaged_checkpoints_is_refused(tmp_path, caplog):
    checkpoints(tmp_path).save(state(2))
    _cut(tmp_path)
    sentence = (
        r"none of the checkpoints in .* can be used \(.*round_0002 is cut off .*\); start again in another folder\."
    )
    with pytest.raises(InputError, match=sentence):
        checkpoints(tmp_path).load(MemoryStore())
    assert saved_bits(tmp_path) == {} and not caplog.records


def test_the_state_is_read_once(tmp_path, monkeypatch):
    """`saved_bits` does not read the state, which may be large."""
    checkpoints(tmp_path).save(state(1))
    read, original = [], fedlit.checkpoint._read
    monkeypatch.setattr(fedlit.checkpoint, "_read", lambda path, device: read.append(path) or original(path, device))
    assert saved_bits(tmp_path) == {"threads": 3} and not read
    checkpoints(tmp_path).load(MemoryStore())
    assert len(read) == 1


class Trap:
    """Unpickled, it leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_state_file_runs_no_code(tmp_path):
    checkpoints(tmp_path).save(state(1))
    trap = saved(
        {"format": "fedlit checkpoint", "version": FORMAT, "trap": Trap(tmp_path / "ran")}, tmp_path / "trap.pt"
    )
    put(tmp_path, 1, trap)
    with pytest.raises(InputError):
        checkpoints(tmp_path).load(MemoryStore())
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(Trap(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()  # the trap is one


def test_the_best_checkpoint_has_the_server_only_and_is_never_loaded(tmp_path):
    written = checkpoints(tmp_path)
    for number in (5, 6):
        written.save_best(state(number))
    assert checkpoints(tmp_path).load(MemoryStore()) is None
    for number in (1, 2, 3):
        written.save(state(number))
    assert rounds(tmp_path) == ["best", "round_0002", "round_0003"]
    best = torch.load(tmp_path / "checkpoints" / "best" / "state.pt", weights_only=True)
    assert best["round"] == 6 and best["clients"] == {} and best["version"] == FORMAT
    assert best["server"]["model"]["__model__"][0].tolist() == [6.0] * 5
    assert checkpoints(tmp_path).load(MemoryStore()).round == 3


@pytest.mark.parametrize("value", [np.zeros(3), 1 << 2040, {"deep": [np.float64(1)]}])
@pytest.mark.parametrize("part", ["server", "sampler", "messages"])  # clients keep tensors alone
def test_a_state_that_could_not_be_read_is_refused_when_it_is_saved(part, value, tmp_path):
    saved_before, broken = checkpoints(tmp_path), state(2)
    saved_before.save(state(1))
    setattr(broken, part, {"kept": value})
    with pytest.raises(InputError, match=rf"the state of the run: \['{part}'\].* which no checkpoint can hold"):
        saved_before.save(broken)
    assert rounds(tmp_path) == ["round_0001"]
    assert checkpoints(tmp_path).load(MemoryStore()).round == 1

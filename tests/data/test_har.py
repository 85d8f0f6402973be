"""data=har: the archive's text files and an .npz file, split by subject and activity; other counts are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedlit.data import har as module
from fedlit.data.har import har
from fedlit.errors import InputError

SIGNALS = [f"{kind}_{axis}" for kind in ("body_acc", "body_gyro", "total_acc") for axis in "xyz"]


def windows(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows whose every number is 100 n + channel, with six activities and the subjects 3 and 7."""
    n = np.arange(number)
    x = np.broadcast_to(100.0 * n[:, None, None] + np.arange(9)[:, None], (number, 9, 128))
    return x.astype(np.float32), n % 6, np.where(n < number // 2, 3, 7)


def write_archive(folder: Path, sizes: dict[str, int]) -> None:
    x, y, subject = windows(sum(sizes.values()))
    begin = 0
    for part, size in sizes.items():
        rows = slice(begin, begin + size)
        begin += size
        (folder / part / "Inertial Signals").mkdir(parents=True)
        for number, signal in enumerate(SIGNALS):
            np.savetxt(folder / part / "Inertial Signals" / f"{signal}_{part}.txt", x[rows, number], fmt=" %16.7e")
        np.savetxt(folder / part / f"y_{part}.txt", y[rows] + 1, fmt="%d")
        np.savetxt(folder / part / f"subject_{part}.txt", subject[rows], fmt="%d")


def test_the_archive_and_an_npz_file_of_the_same_windows_are_the_same_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y, subject = windows(60)
    np.savez(tmp_path / "har_subset.npz", x=x, y=y, subject=subject)
    write_archive(tmp_path / "UCI HAR Dataset", {"train": 42, "test": 18})
    monkeypatch.setattr(module, "_SUBSET_ROWS", 60)
    monkeypatch.setattr(module, "_ROWS", {"train": 42, "test": 18})
    for path in (tmp_path / "har_subset.npz", None):  # the archive goes before the subset
        source = har(root=tmp_path, path=path, normalize="none")
        last = np.array([(n % 30) >= 24 for n in range(60)])  # of five windows a subject and activity, the last one
        for part, chosen in (("train", ~last), ("test", last)):
            samples = getattr(source, part)
            read, labels = samples.batch(np.arange(len(samples)))
            np.testing.assert_array_equal(read.numpy(), x[chosen])
            np.testing.assert_array_equal(labels.numpy(), y[chosen])
            np.testing.assert_array_equal(getattr(source, f"{part}_sites"), (subject[chosen] == 7).astype(int))
    assert (source.classes, source.input_shape) == (6, (9, 128))


def test_a_channel_is_normalised_by_the_training_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, subject = windows(60)
    np.savez(tmp_path / "har_subset.npz", x=x, y=y, subject=subject)
    monkeypatch.setattr(module, "_SUBSET_ROWS", 60)
    read, _ = har(root=tmp_path).train.batch(np.arange(48))
    np.testing.assert_allclose(read.numpy().mean((0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(read.numpy().std((0, 2)), 1, atol=1e-5)


def test_other_counts_are_refused(tmp_path: Path) -> None:
    x, y, subject = windows(12)
    np.savez(tmp_path / "har_subset.npz", x=x, y=y, subject=subject)
    with pytest.raises(InputError, match=r"has 12 windows, and 1,080 are expected; get it again"):
        har(root=tmp_path)
    write_archive(tmp_path / "UCI HAR Dataset", {"train": 12, "test": 12})
    with pytest.raises(InputError, match=r"body_acc_x_train.txt has 12 rows, and 7,352 are expected"):
        har(root=tmp_path)
    (tmp_path / "UCI HAR Dataset" / "train" / "Inertial Signals" / "body_acc_x_train.txt").unlink()
    with pytest.raises(InputError, match=r"cannot be read .*get it again from https://archive.ics.uci.edu"):
        har(root=tmp_path)


def test_an_unknown_activity_and_a_missing_path_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, subject = windows(12)
    np.savez(tmp_path / "har_subset.npz", x=x, y=y + 1, subject=subject)
    monkeypatch.setattr(module, "_SUBSET_ROWS", 12)
    with pytest.raises(InputError, match="has an activity that is not one of 6"):
        har(root=tmp_path)
    with pytest.raises(InputError, match="There is no file or folder .*none.npz; get the archive from https"):
        har(path=tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("fraction", "message"),
    [(0.05, "0.05 leaves no window for the test; raise it"), (0.95, "0.95 leaves no window for training; lower it")],
)
def test_a_part_without_windows_is_refused(
    fraction: float, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y, subject = windows(60)  # five windows a subject and activity
    np.savez(tmp_path / "har_subset.npz", x=x, y=y, subject=subject)
    monkeypatch.setattr(module, "_SUBSET_ROWS", 60)
    with pytest.raises(InputError, match=message):
        har(root=tmp_path, test_fraction=fraction)


def test_another_form_of_the_npz_file_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((1080, 3, 128)), y=np.zeros(1080), subject=np.zeros(1080))
    np.savez(tmp_path / "b.npz", x=np.zeros((1080, 9, 128), np.int8))
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 cut off")
    np.save(tmp_path / "d.npy", np.zeros((1080, 9, 128)))
    (tmp_path / "d.npy").rename(tmp_path / "d.npz")
    for name in "abcd":
        with pytest.raises(InputError, match=rf"{name}.npz cannot be read"):
            har(path=tmp_path / f"{name}.npz")

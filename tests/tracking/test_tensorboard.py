from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from fedlit.tracking import tensorboard
from fedlit.tracking.canvas import png
from fedlit.tracking.partition_figure import partition_figure
from fedlit.tracking.tensorboard import TensorBoard
from tests.tracking.runs import about, row, write_sweep


def tell(folder, numbers, resumed_after=0, end=False, close=True, stopped=None, **options):
    """What a run of those rounds writes; without `close`, what a kill after the last round leaves."""
    logger = TensorBoard(**options)
    logger.start(about(folder, resumed_after=resumed_after))
    for number in numbers:
        logger.round(number, row(number), {"confusion": np.array([[number, 0], [1, 2]])})
    if end:
        logger.finish({"rounds": numbers[-1], "stopped": stopped})
    if close:
        logger.close()
    return logger


def seen(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


def points(events, name):
    return [(event.step, event.value) for event in events.Scalars(name)]


def steps(events, name):
    return [event.step for event in events.Images(name)]


ACCURACY = [(n, n / 8) for n in range(1, 6)]


def test_scalars_by_round(tmp_path):
    tell(tmp_path, [1, 2, 3, 4, 5])
    events = seen(tmp_path)
    assert points(events, "global/test/accuracy") == ACCURACY
    assert points(events, "on clients: received/accuracy/mean") == [(2, 0.5), (4, 0.5)]
    assert points(events, "spread/clients/received/accuracy/mean_minus_std") == [(2, 0.25), (4, 0.25)]
    assert points(events, "spread/clients/received/accuracy/mean_plus_std") == [(2, 0.75), (4, 0.75)]


def test_a_round_is_there_as_it_ends(tmp_path):
    logger = tell(tmp_path, [1], close=False)
    assert points(seen(tmp_path), "train/loss") == [(1, 0.5)]
    logger.close()


def test_resume_after_a_kill_gives_each_round_once(tmp_path):
    killed = tell(tmp_path, [1, 2, 3, 4], close=False, picture_every=0)
    killed._background.wait()
    tell(tmp_path, [3, 4, 5], resumed_after=2, picture_every=0)
    events = seen(tmp_path)
    assert points(events, "global/test/accuracy") == ACCURACY
    assert points(events, "on clients: received/accuracy/std") == [(2, 0.25), (4, 0.25)]
    assert steps(events, "pictures/confusion") == [1, 2, 3, 4, 5]
    assert steps(events, "pictures/partition") == [0]
    killed.close()


@pytest.mark.parametrize("where", ["in a scalar", "in a picture", "in the last checksum"])
def test_resume_of_a_file_cut_in_the_middle_of_a_record(tmp_path, where):
    tell(tmp_path, [1, 2, 3, 4])
    [file] = tmp_path.iterdir()
    content = file.read_bytes()
    last_scalar, last_picture = content.rindex(b"global/test/accuracy"), content.rindex(b"\x89PNG")
    assert last_scalar < last_picture  # the picture of the last round is written at the end
    cut = {"in a scalar": last_scalar + 10, "in a picture": last_picture + 1000, "in the last checksum": -2}[where]
    file.write_bytes(content[:cut])
    tell(tmp_path, [3, 4, 5], resumed_after=2)
    assert points(seen(tmp_path), "global/test/accuracy") == ACCURACY


def test_a_second_kill_before_the_first_checkpoint(tmp_path):
    for numbers in ([1, 2], [1, 2, 3], [1, 2, 3, 4, 5]):
        tell(tmp_path, numbers)
    events = seen(tmp_path)
    assert points(events, "global/test/accuracy") == ACCURACY
    assert steps(events, "pictures/partition") == [0]


def test_pictures_are_thinned_and_the_last_is_shown(tmp_path):
    tell(tmp_path, [1, 2, 3, 4, 5], picture_every=100)
    events = seen(tmp_path)
    assert steps(events, "pictures/confusion") == [5]
    assert steps(events, "pictures/partition") == [0]
    [image] = events.Images("pictures/partition")
    assert (image.width, image.height) == Image.open(io.BytesIO(image.encoded_image_string)).size


def test_no_round_waits_for_a_picture(tmp_path, monkeypatch):
    may_draw = threading.Event()

    def slow(run):
        assert may_draw.wait(10)
        return png(partition_figure(run))

    monkeypatch.setattr(tensorboard, "partition_png", slow)
    logger = tell(tmp_path, [1], close=False)
    assert seen(tmp_path).Tags()["images"] == []
    may_draw.set()
    logger.close()
    assert seen(tmp_path).Tags()["images"] == ["pictures/partition", "pictures/confusion"]


def test_the_layout_names_scalars_that_are_there(tmp_path):
    tell(tmp_path, [1, 2])
    events = seen(tmp_path)
    layout = layout_pb2.Layout()
    layout.ParseFromString(events.Tensors("custom_scalars__config__")[-1].tensor_proto.string_val[0])
    bands, lines = layout.category
    assert [chart.title for chart in bands.chart] == [chart.title for chart in lines.chart] == ["accuracy"]
    series = bands.chart[0].margin.series[0]
    assert {series.value, series.lower, series.upper} <= set(events.Tags()["scalars"])
    assert list(lines.chart[0].multiline.tag) == [r"^on\ clients:\ received/accuracy/(mean)$"]


def test_numbers_of_a_sweep_have_no_bands(tmp_path):
    write_sweep(tmp_path, {"seed": ["1", "2"]}, ["seed=1", "seed=2"])
    tell(tmp_path / "seed=1", [1, 2])
    tags = seen(tmp_path / "seed=1").Tags()
    assert "on clients: received/accuracy/mean" in tags["scalars"]
    assert not [tag for tag in tags["scalars"] if tag.startswith("spread")]


def test_configuration_and_final_metric_stand_in_the_same_run(tmp_path):
    tell(tmp_path, [1, 2, 3, 4, 5], end=True)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    content = {tag: plugin_data_pb2.HParamsPluginData.FromString(value)
               for tag, value in seen(tmp_path).PluginTagToContent("hparams").items()}  # fmt: skip
    started = content["_hparams_/session_start_info"].session_start_info.hparams
    assert started["partition"].string_value == "Dirichlet 0.5" and started["partition.alpha"].number_value == 0.5
    columns = content["_hparams_/experiment"].experiment
    assert columns.metric_infos[0].name.tag == "global/test/accuracy"
    assert {info.name for info in columns.hparam_infos} == set(started)
    assert "_hparams_/session_end_info" in content


def test_a_run_that_has_stopped_early_has_ended(tmp_path):
    tell(tmp_path, [1, 2], end=True, stopped="no better for 2 rounds")
    assert "_hparams_/session_end_info" in seen(tmp_path).PluginTagToContent("hparams")


def test_a_run_that_goes_on_later_has_not_ended(tmp_path):
    tell(tmp_path, [1, 2], end=True)
    assert "_hparams_/session_end_info" not in seen(tmp_path).PluginTagToContent("hparams")

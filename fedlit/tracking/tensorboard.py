"""TensorBoard events in the run folder; the x-axis is the round. Needs `tensorboard`.

Written are the numbers of a round (`tensorboard_tags.py`); pictures of the partition and of the confusion matrix; the
configuration with the final metric (HPARAMS tab, `hparams.py`); and charts of the spread over clients (CUSTOM SCALARS
tab, `spread_charts.py`).
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedlit.errors import InputError
from fedlit.evaluation.headline import headline
from fedlit.sweeps.sweep_record import sweep_of
from fedlit.tracking import hparams
from fedlit.tracking.canvas import Background, png
from fedlit.tracking.confusion_figure import confusion_figure
from fedlit.tracking.event_file import used_by_tensorboard
from fedlit.tracking.logger import About, Logger, Row, Summary
from fedlit.tracking.partition_figure import partition_png
from fedlit.tracking.spread_charts import SpreadCharts
from fedlit.tracking.summary import is_complete
from fedlit.tracking.tensorboard_tags import tag, without_equal


class TensorBoard(Logger):
    """Each round once, also after a kill and a resume: events of rounds that run again are purged."""

    def __init__(self, picture_every: float = 5.0):
        """
        Args:
            picture_every: least time between two pictures of the confusion matrix, and from the start to the first,
                seconds: one takes a tenth of a second to draw. The last is always shown.
        """
        self.picture_every = picture_every
        self._drawn = 0.0  # when pictures were drawn last, or the run began
        self._background = Background()
        self._held: tuple[int, np.ndarray] | None = None  # round and newest confusion matrix, while it is not drawn
        self._writer: Any = None  # a SummaryWriter, once it has started
        self._compared = False  # whether the HPARAMS tab has the configuration

    def start(self, about: About) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(
                f"logger=tensorboard cannot be imported ({error}): pip install tensorboard, or write logger=none"
            ) from error
        self._about = about
        self._charts = SpreadCharts(are_bands=sweep_of(about.folder) is None)
        _wait_for_next_second(about.folder)
        fresh = about.resumed_after == 0
        # TensorBoard drops what older files of the folder have from this step on (0: the pictures before round 1 too)
        with used_by_tensorboard():
            self._writer = SummaryWriter(str(about.folder), purge_step=0 if fresh else about.resumed_after + 1)
        self._drawn = time.monotonic()
        self._writer.flush()
        if fresh and len(about.sizes):  # parties with columns have none
            self._draw("partition", lambda: partition_png(about), 0)

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        assert self._writer is not None, "start() comes first"
        different = without_equal(row)
        for name, value in {**different, **self._charts.edges(different)}.items():
            self._writer.add_scalar(tag(name), value, number)
        layout = self._charts.new_layout(different)
        if layout is not None:
            self._add(layout, number)
        if "confusion" in pictures:
            self._held = number, pictures["confusion"]
        if time.monotonic() - self._drawn >= self.picture_every:
            self._draw_held()
        self._compare(row)
        self._writer.flush()

    def finish(self, summary: Summary) -> None:
        from torch.utils.tensorboard import summary as writing

        if is_complete(summary, self._about.rounds):
            *_, ended = writing.hparams({}, {})
            self._add(ended)

    def close(self) -> None:
        if self._writer is not None:
            self._draw_held()
            self._background.wait()
            self._writer.close()
            self._writer = None

    def _add(self, message: Any, number: int | None = None) -> None:
        # `add_hparams` would open a run of its own beside this one, and `add_custom_scalars` knows no rounds
        assert self._writer is not None, "start() comes first"
        self._writer._get_file_writer().add_summary(message, number)

    def _draw_held(self) -> None:
        """Add a picture of the newest confusion matrix, if there is one."""
        if self._held is None:
            return
        (number, counts), self._held, self._drawn = self._held, None, time.monotonic()

        self._draw("confusion", lambda: png(confusion_figure(counts, self._about.label_names)), number)

    def _draw(self, name: str, png_of: Callable[[], bytes], number: int) -> None:
        def draw() -> None:
            self._add(_picture(f"pictures/{name}", png_of()), number)
            self._writer.flush()

        self._background.draw(f"TensorBoard's picture of the {name}", draw)

    def _compare(self, row: Row) -> None:
        """Once a start, with the first round that was evaluated: so runs that still go can be compared as well."""
        name = headline(row)
        if self._compared or name is None:
            return
        self._compared = True
        for message in hparams.messages(self._about.config, self._about.folder, name):
            self._add(message)


def _picture(name: str, content: bytes) -> Any:
    """The event of a picture. `SummaryWriter.add_image` would need its pixels, and encode the PNG a second time."""
    from tensorboard.compat.proto.summary_pb2 import Summary as Event

    width, height = struct.unpack(">II", content[16:24])  # of a PNG file's header
    image = Event.Image(width=width, height=height, colorspace=3, encoded_image_string=content)
    return Event(value=[Event.Value(tag=name, image=image)])


def _wait_for_next_second(folder: Path) -> None:
    """Wait if the newest event file was begun in this second. Event files are read in the order of their names, which
    have whole seconds: of two files of one second, the resumed run's may be read first."""
    now = time.time()
    if any(file.name.split(".")[3] == f"{int(now):010d}" for file in folder.glob("events.out.tfevents.*")):
        time.sleep(int(now) + 1 - now)

"""TensorBoard event files, written through TensorBoard's own writer (no TensorFlow needed)."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import summary_v2 as hparams_summary
from tensorboard.plugins.text import summary_v2 as text_summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

ORDER = re.compile(r"^\d_")  # before the name of a column


class Board:
    """One TensorBoard run.

    Args:
        log_dir: directory of the run; made when it does not exist.

    Example:
        >>> import tempfile
        >>> board = Board(tempfile.mkdtemp())
        >>> board.scalars(0, {"step/loss": 2.3})
        >>> board.close()
    """

    def __init__(self, log_dir: str):
        self._writer = EventFileWriter(str(log_dir))

    def scalars(
        self, step: int, values: dict[str, float], told: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Scalars of one step, by tag; `told` describes tags, where they are written first."""
        parts = [
            summary_pb2.Summary.Value(
                tag=tag,
                simple_value=float(value),
                metadata=summary_pb2.SummaryMetadata(summary_description=told.get(tag, "")),
            )
            for tag, value in values.items()
        ]
        self._add(step, summary_pb2.Summary(value=parts))

    def curves(self, start: int, curves: dict[str, np.ndarray]) -> None:
        """Scalars of consecutive steps from `start` on, by tag, arrays `[steps]`."""
        for offset, row in enumerate(zip(*curves.values(), strict=True)):
            self.scalars(start + offset, dict(zip(curves, row, strict=True)))

    def hyperparameters(self, name: str, values: dict[str, Any]) -> None:
        """The values that the HParams dashboard shows for this run under `name`.

        What is no number becomes text.
        """
        plain = {
            key: value if isinstance(value, (bool, int, float)) else str(value)
            for key, value in values.items()
        }
        self._add(0, _summary(hparams_summary.hparams_pb(plain, trial_id=name)))

    def experiment(self, hyperparameters: Iterable[str], metrics: Iterable[str]) -> None:
        """The columns of the HParams dashboard; for the topmost run.

        Hyperparameters by name and scalars by tag. The dashboard sorts columns by name: a digit and
        an underscore before a name put it in order, and are not shown.
        """
        columns = [
            hparams_summary.HParam(name, display_name=ORDER.sub("", name))
            for name in hyperparameters
        ]
        self._add(
            0,
            _summary(
                hparams_summary.hparams_config_pb(
                    columns, [hparams_summary.Metric(m) for m in metrics]
                )
            ),
        )

    def text(self, tag: str, markdown: str) -> None:
        """A text in Markdown."""
        self._add(0, _summary(text_summary.text_pb(tag, markdown)))

    def image(self, tag: str, png: bytes) -> None:
        """A picture, as the bytes of a PNG file."""
        width, height = struct.unpack(">II", png[16:24])
        image = summary_pb2.Summary.Image(
            width=width, height=height, colorspace=4, encoded_image_string=png
        )
        self._add(0, summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, image=image)]))

    def flush(self) -> None:
        """Makes what was written visible to TensorBoard."""
        self._writer.flush()

    def close(self) -> None:
        """Ends the run."""
        self._writer.close()

    def _add(self, step: int, summary: summary_pb2.Summary) -> None:
        self._writer.add_event(
            event_pb2.Event(wall_time=time.time(), step=int(step), summary=summary)
        )


def _summary(message) -> summary_pb2.Summary:
    # The plugins make messages of TensorFlow's class where TensorFlow is loaded.
    return summary_pb2.Summary.FromString(message.SerializeToString())


def ratios(
    layers: Iterable[str], update_norms: np.ndarray, weight_norms: np.ndarray
) -> dict[str, float]:
    """Tags and values of update/weight ratios: one per layer, and the whole model's.

    Args:
        layers: names of the layers.
        update_norms: norm of each layer's update `[layers]`.
        weight_norms: norm of each layer's weights `[layers]`.
    """
    # A run that explodes has no finite norms; TensorBoard shows NaN and infinity as what they are.
    with np.errstate(all="ignore"):
        updates = np.float64([*update_norms, np.linalg.norm(update_norms)])
        shares = updates / np.maximum([*weight_norms, np.linalg.norm(weight_norms)], 1e-12)
    return {
        f"weight_update_ratio/{name}": float(share)
        for name, share in zip([*layers, "whole_model"], shares, strict=True)
    }

"""The faces of an annotated output as wide crops: found once, they need not be searched for again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from facegpt.photo.config import NULL, DecodeConfig
from facegpt.photo.crop import Floats, cut
from facegpt.training.photos.crops import wide_side
from pipeline.config import config_of
from pipeline.errors import UsageError
from pipeline.output.commit import committed_shards
from pipeline.output.run_json import KEY, existing_run
from pipeline.output.shard_files import read_table
from pipeline.photos.reread import entries_of, open_photo
from pipeline.storage.store import Storage
from schemas import read_provenance

COLUMNS = ["uri", "shard", "image_id", "crop_matrix", "face_px", "quality"]


def is_output(location: str) -> bool:
    """Whether `location`, a path or an s3:// URL, is the OUTPUT of a run."""
    storage = Storage(location)
    return not storage.is_file() and storage.exists(KEY)


def annotated_faces(
    location: str, config: DecodeConfig, size: int, smallest: float, quality: float
) -> Iterator[tuple[list[NDArray[np.uint8]], str]]:
    """For each photo of an output with faces of at least `smallest` px and `quality`, their wide crops, for a model
    that wants `size` px, or a note of why the photo cannot be read.

    Raises:
        UsageError: the output is damaged, or of a dry run, whose faces are none.
    """
    storage = Storage(location)
    settings = config_of(existing_run(storage)["config"])
    if NULL in (settings.detector.name, settings.model.path):
        raise UsageError(f"{location} is the output of a dry run: its faces are none to learn from")
    for shard in committed_shards(storage):
        table = read_table(storage, f"faces/{shard}.parquet", COLUMNS)
        crop_size = read_provenance(table.schema).crop_size
        wanted = pc.and_(
            pc.greater_equal(table["face_px"], smallest), pc.greater_equal(table["quality"], quality)
        )
        rows = table.filter(wanted).to_pylist()
        entries = entries_of(storage, rows)
        for uri, faces in groupby(rows, key=lambda row: str(row["uri"])):
            each = list(faces)
            photo, note = open_photo(each[0], config, entries.get((shard, uri)))
            matrices = [np.reshape(np.array(row["crop_matrix"], np.float64), (2, 3)) for row in each]
            side = wide_side(size)
            crops = (
                []
                if photo is None
                else [cut(photo, widened(matrix, crop_size, size), side) for matrix in matrices]
            )
            yield crops, note


def widened(matrix: Floats, crop_size: int, size: int) -> Floats:
    """The matrix (2, 3) to the wide crop, for a model of `size` px, around what `matrix` takes to `crop_size` px."""
    scale = size / crop_size
    wide: Floats = scale * matrix
    wide[:, 2] += (wide_side(size) - 1) / 2 - scale * (crop_size - 1) / 2
    return wide

"""Reading an output for its report: a few columns of every committed shard, and whole rows of the faces to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.output.commit import committed_shards, table_key
from pipeline.output.run_json import existing_run
from pipeline.output.shard_files import read_table
from pipeline.storage.store import Storage
from schemas import Provenance, read_provenance

FIGURE_COLUMNS = (
    "face_id",
    "shard",
    "face_index",
    "quality",
    "yaw_deg",
    "face_px",
    "caption_status",
    "photometric_psnr",
)
"""Columns that are read of every face."""
SHOWN = 48
"""Faces that are shown, at most, unless another number is given."""
EXAMPLES = 5
"""Photos that are named for each reason, at most."""


@dataclass(frozen=True)
class Reason:
    """Reason why photos have no face: `count` of them have this status, stage and reason; the first few by URI."""

    status: str
    stage: str
    reason: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class ReportData:
    """Contents of an output that its report needs.

    `record`: run.json; `shards`: the committed ones in order; `statuses`: photos by status; `reasons`: why photos have
    no face, most frequent first; `bytes`: of all photos; `faces`: `FIGURE_COLUMNS` of every face; `provenance`: of the
    rows, None as long as nothing is committed.
    """

    storage: Storage
    record: dict[str, Any]
    shards: tuple[str, ...]
    statuses: Counter[str]
    reasons: tuple[Reason, ...]
    bytes: int
    faces: pa.Table
    provenance: Provenance | None


def read_report_data(output: str) -> ReportData:
    """Reads the tables of the committed shards of `output`, a path or an s3:// URL.

    Raises:
        UsageError: there is no run at `output`, or one of its tables is damaged.
    """
    storage = Storage(output)
    record = existing_run(storage)
    shards = tuple(committed_shards(storage))
    statuses: Counter[str] = Counter()
    groups: Counter[tuple[str, str, str]] = Counter()
    examples: dict[tuple[str, str, str], list[str]] = {}
    n_bytes = 0
    face_tables: list[pa.Table] = []
    provenance = None
    for shard in shards:
        images = _read_table(storage, "images", shard, ["uri", "bytes", "status", "stage", "reason"])
        statuses.update(images["status"].to_pylist())
        n_bytes += pc.sum(images["bytes"]).as_py() or 0
        for row in images.filter(pc.not_equal(images["status"], "annotated")).to_pylist():
            key = (row["status"], row["stage"] or "", row["reason"] or "")
            groups[key] += 1
            uris = examples.setdefault(key, [])
            if len(uris) < EXAMPLES:
                uris.append(row["uri"])
        table = _read_table(storage, "faces", shard, list(FIGURE_COLUMNS))
        provenance = provenance or read_provenance(table.schema)
        face_tables.append(table.replace_schema_metadata())
    reasons = tuple(
        Reason(*key, count, tuple(examples[key]))
        for key, count in sorted(groups.items(), key=lambda item: (-item[1], item[0]))
    )
    empty = pa.table({name: pa.array([], pa.null()) for name in FIGURE_COLUMNS})
    faces = pa.concat_tables(face_tables) if face_tables else empty
    return ReportData(
        storage=storage,
        record=record,
        shards=shards,
        statuses=statuses,
        reasons=reasons,
        bytes=n_bytes,
        faces=faces,
        provenance=provenance,
    )


def choose_faces(faces: pa.Table, shown: int = SHOWN) -> list[int]:
    """Chooses the rows of `faces` to show, best quality first: all of them if there are at most `shown`.

    Otherwise a quarter of the `shown` are those of the lowest quality, and the others are spaced evenly over the run's
    order, so that the choice is not arbitrary. Faces without a quality sort last.
    """
    quality = np.nan_to_num(float_column(faces, "quality"), nan=-1.0)
    order = np.argsort(-quality, kind="stable")
    if len(order) <= shown:
        return [int(row) for row in order]
    worst = lowest_count(shown)
    lowest = {int(row) for row in order[len(order) - worst :]}
    others = [row for row in range(len(order)) if row not in lowest]
    picked = np.linspace(0, len(others) - 1, shown - worst).round().astype(int)
    wanted = lowest | {others[index] for index in picked}
    return [int(row) for row in order if int(row) in wanted]


def lowest_count(shown: int) -> int:
    """Returns how many of the `shown` faces are chosen for their low quality."""
    return shown // 4


def read_rows(data: ReportData, rows: Iterable[int]) -> list[dict[str, Any]]:
    """Reads all columns of the faces at `rows` of `data.faces`, in the order given."""
    wanted = data.faces.take(pa.array(list(rows), pa.int64())).select(["face_id", "shard"]).to_pylist()
    rows_by_id: dict[str, dict[str, Any]] = {}
    for shard in {row["shard"] for row in wanted}:
        ids = pa.array([row["face_id"] for row in wanted if row["shard"] == shard])
        table = _read_table(data.storage, "faces", shard, None)
        for row in table.filter(pc.is_in(table["face_id"], ids)).to_pylist():
            rows_by_id[row["face_id"]] = row
    return [rows_by_id[row["face_id"]] for row in wanted]


def float_column(faces: pa.Table, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Returns a column as float64, nan where it is null."""
    return np.asarray(pc.cast(faces[name], pa.float64()).to_pandas(), dtype=np.float64)


def _read_table(storage: Storage, table: str, shard: str, columns: list[str] | None) -> pa.Table:
    """Reads columns of a shard's part of a table; raises UsageError if it is missing or damaged."""
    return read_table(storage, table_key(table, shard), columns)

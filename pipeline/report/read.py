"""What the report needs of an output: light columns of every committed shard, whole rows of the faces it shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.output.commit import committed_shards
from pipeline.output.run_json import existing_run
from pipeline.output.shard_files import read_table
from pipeline.storage.store import Storage
from schemas import Provenance, read_provenance

STATUSES = ("annotated", "no_face", "rejected", "failed")
LIGHT = (
    "face_id",
    "shard",
    "face_index",
    "quality",
    "yaw_deg",
    "face_px",
    "caption_status",
    "photometric_psnr",
)
SHOWN = 48
EXAMPLES = 5


@dataclass(frozen=True)
class Reason:
    """Photos that ended the same way: `count` of them with this status, stage and reason, the first few by name."""

    status: str
    stage: str
    reason: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Output:
    """A run's output, open for reading.

    `record` is run.json; `shards` the committed ones in order; `statuses` photos by status; `reasons` what did not
    become a face, most frequent first; `bytes` of all photos; `faces` the light columns of every face;
    `provenance` what made the rows, None as long as nothing is committed.
    """

    storage: Storage
    record: dict[str, Any]
    shards: tuple[str, ...]
    statuses: Counter[str]
    reasons: tuple[Reason, ...]
    bytes: int
    faces: pa.Table
    provenance: Provenance | None


def read_output(output: str) -> Output:
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
    size = 0
    parts: list[pa.Table] = []
    provenance = None
    for shard in shards:
        images = _table(storage, "images", shard, ["uri", "bytes", "status", "stage", "reason"])
        statuses.update(images["status"].to_pylist())
        size += pc.sum(images["bytes"]).as_py() or 0
        for row in images.filter(pc.not_equal(images["status"], "annotated")).to_pylist():
            key = (row["status"], row["stage"] or "", row["reason"] or "")
            groups[key] += 1
            named = examples.setdefault(key, [])
            if len(named) < EXAMPLES:
                named.append(row["uri"])
        part = _table(storage, "faces", shard, list(LIGHT))
        provenance = provenance or read_provenance(part.schema)
        parts.append(part.replace_schema_metadata())
    reasons = tuple(
        Reason(*key, count, tuple(examples[key]))
        for key, count in sorted(groups.items(), key=lambda item: (-item[1], item[0]))
    )
    empty = pa.table({name: pa.array([], pa.null()) for name in LIGHT})
    faces = pa.concat_tables(parts) if parts else empty
    return Output(storage, record, shards, statuses, reasons, size, faces, provenance)


def choose_faces(faces: pa.Table, shown: int = SHOWN) -> list[int]:
    """The rows of `faces` to show, best quality first: all of them if they are few enough.

    Otherwise a quarter of the `shown` are those of the lowest quality, and the rest is spaced evenly over the run's
    order, so that neither luck nor taste chooses. Faces without a quality sort last.
    """
    quality = np.nan_to_num(numbers(faces, "quality"), nan=-1.0)
    order = np.argsort(-quality, kind="stable")
    if len(order) <= shown:
        return [int(row) for row in order]
    worst = quarter(shown)
    lowest = {int(row) for row in order[len(order) - worst :]}
    others = [row for row in range(len(order)) if row not in lowest]
    picked = np.linspace(0, len(others) - 1, shown - worst).round().astype(int)
    wanted = lowest | {others[index] for index in picked}
    return [int(row) for row in order if int(row) in wanted]


def quarter(shown: int) -> int:
    """How many of the `shown` faces are there for their low quality."""
    return shown // 4


def read_rows(output: Output, rows: Iterable[int]) -> list[dict[str, Any]]:
    """All columns of the faces at `rows` of `output.faces`, in the order given."""
    wanted = output.faces.take(pa.array(list(rows), pa.int64())).select(["face_id", "shard"]).to_pylist()
    found: dict[str, dict[str, Any]] = {}
    for shard in {row["shard"] for row in wanted}:
        ids = pa.array([row["face_id"] for row in wanted if row["shard"] == shard])
        table = _table(output.storage, "faces", shard, None)
        for row in table.filter(pc.is_in(table["face_id"], ids)).to_pylist():
            found[row["face_id"]] = row
    return [found[row["face_id"]] for row in wanted]


def numbers(faces: pa.Table, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A column as float64, nan where it is null."""
    return np.asarray(pc.cast(faces[name], pa.float64()).to_pandas(), dtype=np.float64)


def _table(storage: Storage, table: str, shard: str, columns: list[str] | None) -> pa.Table:
    return read_table(storage, f"{table}/{shard}.parquet", columns)

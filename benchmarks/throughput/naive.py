"""What a user would write over the same functions: a loop, a pool of processes, and the model alone.

    python -m benchmarks.throughput.naive loop PHOTOS OUTPUT
    python -m benchmarks.throughput.naive pool PHOTOS OUTPUT
    python -m benchmarks.throughput.naive model CROPS.npy OUTPUT --faces 1000

loop: one image after the other, every library with all its threads; at the end one Parquet file and the GLBs.
pool: as many processes as CPUs, one thread each; each takes chunks of photos, runs the model on the crops of a chunk in
micro-batches, and writes its GLBs; one Parquet file at the end. model: the same processes, with crops that lie in
memory, and nothing written. No ledger, no resume, no checksums; an image that cannot be read is skipped.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmarks.throughput.command import write_report

if TYPE_CHECKING:
    from facegpt.model.annotator import FaceAnnotator
    from facegpt.photo.finder import FaceFinder

MICRO_BATCH = 32
CHUNKS_PER_PROCESS, LEAST_CHUNK, LARGEST_CHUNK = 8, 16, 1000
"""The size of a chunk follows the rule by which a run cuts its shards, so that neither has the better grain."""


class Tools:
    """The functions that all of them share, loaded once: a finder of faces and an annotator."""

    def __init__(self, overrides: Sequence[str]) -> None:
        from facegpt.model.annotator import FaceAnnotator
        from facegpt.photo.finder import FaceFinder
        from pipeline.config import load_config

        config = load_config(None, overrides)
        self.annotator: FaceAnnotator = FaceAnnotator.from_pretrained(config.model.path)
        self.finder: FaceFinder = FaceFinder(config.decode, config.detector, self.annotator.crop_size)
        self.micro_batch = config.model.micro_batch or MICRO_BATCH

    def find(self, path: Path) -> tuple[str, list[Any]]:
        """Reads a photo; gives its id and its faces, none if it cannot be read."""
        from facegpt.photo.decode import DecodeError, RejectedError

        try:
            photo = self.finder(path.read_bytes())
        except (DecodeError, RejectedError):
            return "", []
        return photo.image_id, photo.faces

    def annotate(
        self, found: Sequence[tuple[Path, str, list[Any]]]
    ) -> tuple[list[dict[str, Any]], list[Any]]:
        """Runs the model over the faces of some photos; gives their rows, and what it said."""
        from facegpt.library.row import row_of

        crops = [face.crop for _, _, faces in found for face in faces]
        said = self.annotator.annotate(crops, self.micro_batch) if crops else []
        each = iter(said)
        rows = [
            row_of(face, next(each), image_id=image_id, uri=str(path), shard=None, mesh=True)
            for path, image_id, faces in found
            for face in faces
        ]
        return rows, list(said)

    def write_meshes(self, rows: Sequence[dict[str, Any]], said: Sequence[Any], folder: Path) -> None:
        """Writes a GLB for each face, some heads at a time."""
        import numpy as np
        import torch

        from facegpt.library.glb import to_glb
        from facegpt.morphable.heads import coloured_heads

        model = self.annotator.face_model
        triangles = model.triangles.numpy()
        for start in range(0, len(said), MICRO_BATCH):
            some = said[start : start + MICRO_BATCH]
            blocks = [
                torch.from_numpy(np.stack([getattr(one, name) for one in some]))
                for name in ("shape", "expression", "albedo")
            ]
            with torch.inference_mode():
                vertices, colours = coloured_heads(model, *blocks)
            for index in range(len(some)):
                name = f"{rows[start + index]['face_id']}.glb"
                (folder / name).write_bytes(to_glb(vertices[index], triangles, colours[index]))


def loop(photos: Path, output: Path, overrides: Sequence[str], report: Path) -> None:
    """Annotates one image after the other."""
    tools = Tools(overrides)
    ready = time.monotonic()
    rows: list[dict[str, Any]] = []
    said: list[Any] = []
    paths = _paths(photos)
    for path in paths:
        more, annotations = tools.annotate([(path, *tools.find(path))])
        rows += more
        said += annotations
    _write_table(rows, output)
    tools.write_meshes(rows, said, output)
    write_report(report, ready=ready, faces=len(rows), images=len(paths))


TOOLS: Tools
OUTPUT: Path


def pool(photos: Path, output: Path, overrides: Sequence[str], report: Path) -> None:
    """Annotates chunks of images in a pool of processes."""
    paths = _paths(photos)
    processes = len(os.sched_getaffinity(0))
    size = min(max(len(paths) // (CHUNKS_PER_PROCESS * processes), LEAST_CHUNK), LARGEST_CHUNK)
    chunks = [paths[start : start + size] for start in range(0, len(paths), size)]
    ready = multiprocessing.Queue()
    rows: list[dict[str, Any]] = []
    with multiprocessing.Pool(processes, _prepare, (overrides, output, ready)) as workers:
        for part in workers.imap_unordered(_chunk, chunks):
            rows += part
        began = fmean(ready.get() for _ in range(processes))
    _write_table(rows, output)
    write_report(report, ready=began, faces=len(rows), images=len(paths))


def _prepare(overrides: Sequence[str], output: Path, ready: multiprocessing.Queue[float]) -> None:
    """Loads what a process of the pool needs, and computes on one thread from there on."""
    global TOOLS, OUTPUT
    os.environ["OMP_NUM_THREADS"] = "1"
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    TOOLS, OUTPUT = Tools(overrides), output
    ready.put(time.monotonic())


def _chunk(paths: Sequence[Path]) -> list[dict[str, Any]]:
    rows, said = TOOLS.annotate([(path, *TOOLS.find(path)) for path in paths])
    TOOLS.write_meshes(rows, said, OUTPUT)
    return rows


def model(crops: Path, output: Path, overrides: Sequence[str], report: Path, faces: int) -> None:
    """Annotates `faces` crops, those of a file again and again, in a pool of processes."""
    processes = len(os.sched_getaffinity(0))
    ready = multiprocessing.Queue()
    bounds = [faces * index // processes for index in range(processes + 1)]
    with multiprocessing.Pool(processes, _prepare, (overrides, output, ready)) as workers:
        parts = [(crops, bounds[index], bounds[index + 1]) for index in range(processes)]
        done = sum(workers.imap_unordered(_crops, parts))
        began = fmean(ready.get() for _ in range(processes))
    write_report(report, ready=began, faces=done, images=0)


def _crops(part: tuple[Path, int, int]) -> int:
    import numpy as np

    file, start, end = part
    crops, done = np.load(file), 0
    for first in range(start, end, MICRO_BATCH):
        some = np.arange(first, min(first + MICRO_BATCH, end)) % len(crops)
        done += len(TOOLS.annotator.annotate(crops[some], MICRO_BATCH))
    return done


def _paths(photos: Path) -> list[Path]:
    return sorted(path for path in photos.rglob("*") if path.is_file())


def _write_table(rows: list[dict[str, Any]], output: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), output / "faces.parquet", compression="zstd")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("way", choices=["loop", "pool", "model"])
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--faces", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--report", type=Path, required=True)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    if args.way == "model":
        model(args.input, args.output, args.overrides, args.report, args.faces)
    else:
        way = loop if args.way == "loop" else pool
        way(args.input, args.output, args.overrides, args.report)


if __name__ == "__main__":
    main()

"""Each step of a run by itself, in one process on one thread: the time that it takes of the processor.

    python -m benchmarks.throughput.stages PHOTOS [--repeats 5] [--parts steps stage batch detector]

steps: list, fetch, decode, detect, crop, hand over, model (prefill, words, scores), mesh, tables, commit, over the same
photos as one shard, in turn. stage: the annotate stage beside the bare model on the same crops in memory, at the same
micro-batch. batch: the model with 32 crops at a time beside one. detector: the default detector beside dlib.

Seconds are the process's own (`time.process_time`): on an idle machine the clock says the same, for one thread that
waits for nothing else, and what else runs on the machine does not count.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import torch

from benchmarks.throughput.command import write_report
from facegpt.library.row import row_of
from facegpt.model.annotator import FaceAnnotator
from facegpt.model.generation import generate_faces
from facegpt.morphable.heads import coloured_heads
from facegpt.photo.config import DetectorConfig
from facegpt.photo.crop import crop_matrix, cut, face_px
from facegpt.photo.decode import decode, image_id_of
from facegpt.photo.detectors import create_detector
from facegpt.photo.finder import FaceCrop, FaceFinder, face_id_of
from pipeline.annotate.model_source import CheckpointSource
from pipeline.annotate.stage import AnnotateFaces
from pipeline.config import RunConfig, load_config
from pipeline.detect.stage import FoundImage, gathered
from pipeline.output.commit import commit_key, count_rows, encode_commit, file_entry, ledger_table, table_key
from pipeline.output.meshes import pack_meshes
from pipeline.shards.shard import AnnotatedShard, DetectedShard, ImageRecord, MeshData
from pipeline.sources import Fetcher, Listing
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage
from pipeline.storage.tables import to_parquet
from schemas import FaceDims, faces_schema

MICRO_BATCH = 32
PARTS = ("steps", "stage", "batch", "detector")
WARM_UP = 3


@dataclass
class Clock:
    """Seconds of the processor by name, one figure for each round."""

    rounds: list[dict[str, float]] = field(default_factory=list)

    def begin(self) -> None:
        """Starts a round."""
        self.rounds.append(defaultdict(float))

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Adds what its block takes to `name` of this round."""
        start = time.process_time()
        yield
        self.rounds[-1][name] += time.process_time() - start

    def figures(self) -> dict[str, list[float]]:
        """Lists the figures of each name, round by round."""
        return {name: [one[name] for one in self.rounds] for name in self.rounds[0]}


class Bench:
    """The parts of a run, loaded once, and the photos that they work on."""

    def __init__(self, photos: Path, config: RunConfig) -> None:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        self.photos, self.config = photos, config
        self.source = CheckpointSource(config.model.path, config.model.face_model)
        self.annotator: FaceAnnotator = self.source.load("cpu")  # type: ignore[assignment]
        self.finder = FaceFinder(config.decode, config.detector, self.annotator.crop_size)
        self.fetch = Fetcher(config.decode.max_bytes)
        self.micro_batch = config.model.micro_batch or MICRO_BATCH

    def entries(self, limit: int | None = None) -> list[Entry]:
        """Lists the photos, or the first ones."""
        return [entry for chunk in Listing(str(self.photos), limit=limit) for entry in chunk]

    def found(self, entries: Sequence[Entry], clock: Clock) -> list[FoundImage]:
        """Fetches, decodes, detects and crops, one photo after the other, and hands each over to another process."""
        images = []
        finder, size = self.finder, self.annotator.crop_size
        for entry in entries:
            with clock.time("fetch"):
                data = self.fetch(entry).data
            with clock.time("decode"):
                image_id = image_id_of(data)
                rgb = decode(data, self.config.decode).rgb
            with clock.time("detect"):
                detections = finder.detector.detect(rgb)
            with clock.time("crop"):
                faces = []
                for index, face in enumerate(detections):
                    matrix = crop_matrix(face, finder.framing, size)
                    faces.append(
                        FaceCrop(
                            face_id=face_id_of(image_id, finder.fingerprint, face.box),
                            face_index=index,
                            box=face.box,
                            det_score=face.score,
                            landmarks5=face.landmarks,
                            crop_matrix=matrix,
                            face_px=face_px(face),
                            crop=cut(rgb, matrix, size),
                        )
                    )
            status = "annotated" if faces else "no_face"
            record = ImageRecord(entry.uri, "shard", status, "detect", image_id, len(data))
            record.height, record.width, record.n_faces = rgb.shape[0], rgb.shape[1], len(faces)
            with clock.time("hand over"):
                sent = pickle.dumps(FoundImage(record, faces), protocol=pickle.HIGHEST_PROTOCOL)
                images.append(pickle.loads(sent))
        return images

    def generate(self, crops: np.ndarray[Any, Any], words: int) -> None:
        """Runs the network over crops in micro-batches, with at most so many words of each caption."""
        processor = self.annotator.checkpoint.processor
        # Before an annotator made its own copy for inference, it asked the checkpoint's model.
        model = getattr(self.annotator, "model", self.annotator.checkpoint.model)
        for start in range(0, len(crops), self.micro_batch):
            pixels = processor.pixel_values(crops[start : start + self.micro_batch])
            generate_faces(model, processor, pixels, max_new_tokens=words)


def steps(bench: Bench, clock: Clock, limit: int | None = None) -> dict[str, int]:
    """Puts the photos, or the first ones, through all steps as one shard; gives the number of items of each kind."""
    clock.begin()
    with clock.time("list"):
        entries = bench.entries(limit)
    detected = gathered("shard", bench.found(entries, clock), bench.annotator.crop_size)
    with clock.time("prefill"):
        bench.generate(detected.crops, 0)
    with clock.time("prefill and words"):
        bench.generate(detected.crops, 64)
    with clock.time("model"):
        said = bench.annotator.annotate(detected.crops, bench.micro_batch)
    model = bench.annotator.face_model
    with clock.time("heads"), torch.inference_mode():
        blocks = [
            torch.from_numpy(np.stack([getattr(one, name) for one in said]))
            for name in ("shape", "expression", "albedo")
        ]
        vertices, colours = coloured_heads(model, *blocks)
    names = [face.face_id for face in detected.faces]
    meshes = MeshData(names, vertices, colours, model.triangles.numpy())
    with clock.time("GLB"):
        tar = pack_meshes(meshes)
    with clock.time("tables"):
        rows = [
            row_of(face, one, image_id="", uri="", shard="shard", mesh=True)
            for face, one in zip(detected.faces, said, strict=True)
        ]
        dims = FaceDims(model.n_shape, model.n_expression, model.n_albedo)
        faces = pa.Table.from_pylist(rows, schema=faces_schema(dims))
        parts = {"faces": to_parquet(faces), "images": to_parquet(ledger_table(detected.images))}
    shard = AnnotatedShard("shard", detected.images, faces, meshes)
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(folder)
        with clock.time("commit"):
            files = {table_key(name, "shard"): data for name, data in parts.items()}
            files["meshes/shard.tar"] = tar
            for key, data in files.items():
                storage.write(key, data)
            written = [file_entry(key, data) for key, data in files.items()]
            storage.write(commit_key("shard"), encode_commit(count_rows(shard), "fingerprint", written))
    return {"photos": len(entries), "faces": len(said)}


def detected_shard(bench: Bench) -> DetectedShard:
    """Makes a shard of the photos as the detect stage leaves it."""
    idle = Clock()
    idle.begin()
    return gathered("shard", bench.found(bench.entries(), idle), bench.annotator.crop_size)


def compare(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Runs ways in turn, each round beginning with another one; seconds of the processor of each, round by round."""
    clock, names = Clock(), list(ways)
    for turn in range(repeats):
        clock.begin()
        for place in range(len(names)):
            name = names[(place + turn) % len(names)]
            with clock.time(name):
                ways[name]()
    return clock.figures()


def comparisons(bench: Bench, parts: Sequence[str], repeats: int) -> dict[str, dict[str, list[float]]]:
    """Measures the parts that set two ways to the same end beside each other."""
    found: dict[str, dict[str, list[float]]] = {}
    shard = detected_shard(bench)
    if "stage" in parts:
        annotate = AnnotateFaces(bench.config, bench.annotator, "fingerprint")
        bare = {"bare": lambda: bench.annotator.annotate(shard.crops, annotate.micro_batch)}
        found["stage"] = compare({"stage": lambda: annotate(shard), **bare}, repeats)
    if "batch" in parts:
        crops = shard.crops[:MICRO_BATCH]
        both = {
            str(size): lambda size=size: bench.annotator.annotate(crops, size) for size in (MICRO_BATCH, 1)
        }
        found["batch"] = compare(both, repeats)
    if "detector" in parts:
        pixels = [decode(bench.fetch(entry).data, bench.config.decode).rgb for entry in bench.entries()]
        detectors = {"default": bench.finder.detector, "dlib": create_detector(DetectorConfig(name="dlib"))}
        found["detector"] = compare(
            {name: lambda one=one: [one.detect(rgb) for rgb in pixels] for name, one in detectors.items()},
            repeats,
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--report", type=Path, required=True, help="where the figures go, as JSON")
    args = parser.parse_args()
    bench = Bench(args.photos, load_config(None, args.overrides))
    steps(bench, Clock(), WARM_UP)
    figures: dict[str, Any] = {}
    if "steps" in args.parts:
        clock = Clock()
        for _ in range(args.repeats):
            figures["items"] = steps(bench, clock)
        figures["steps"] = clock.figures()
    figures |= comparisons(bench, args.parts, args.repeats)
    write_report(args.report, **figures)


if __name__ == "__main__":
    main()

"""What each part of training is worth: the same steps with everything, and with one thing left out or added.

    python -m benchmarks.ablation LABELLED OUT [--steps 600] [--photos FOLDER ...] [--only NAME ...] [--at-once 2]

LABELLED is a folder with `faces.jsonl`. Every variant goes on from the bundled checkpoint for the same number of polish
steps with the same seed, over faces rendered without one of `synthetic.parts.PARTS`; with --photos, also over photos
without labels. OUT keeps what has been trained and measured: a second call goes on where the first ended. Errors are
compared face by face with those of the whole recipe, so that their spread is that of the difference. Prints a table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from os import cpu_count
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from facegpt.evaluation.geometry import landmark_nme
from facegpt.model.annotator import FaceAnnotator
from facegpt.morphable import bundled
from facegpt.photo.crop import to_image
from facegpt.synthetic.faces import SyntheticFaces, concatenate, render_faces
from facegpt.synthetic.parts import PARTS
from pipeline.config import load_config
from pipeline.photos.labelled import read_labelled

WHOLE = "everything"
RENDERED = "rendered"
STREAM, CHUNK, CHUNKS = 888_000_000, 64, 8
SILENT = dict.fromkeys(("points_steps", "trunk_steps", "photos_steps", "language_steps", "together_steps"), 0)
WEIGHTS = {"shape": 5.0, "surface": 10.0, "visible": 15.0}
RECIPE: dict[str, Any] = {
    "initial": "bundled",
    "polish_learning_rate": 6e-4,
    "photos_learning_rate": 6e-4,
    "shard_faces": 512,
    "reuse": 4.8,
    "pool": 4,
    "warmup": 50,
    "ema": 0.99,
    "seed": 77,
    "first_shard": 5000,
    "evaluate_every": 10**6,
    "save_every": 10**6,
    "weights": WEIGHTS,
}
Errors = dict[str, NDArray[np.float64]]


def variants(steps: int, photos: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names, and what their training configs have beside `RECIPE`."""
    polish = SILENT | {"polish_steps": steps}
    yield WHOLE, polish
    # What chance alone changes: the others differ by more, or by nothing that was measured.
    yield "everything on other faces", polish | {"seed": 78, "first_shard": 6000}
    for part in PARTS:
        yield f"without {part}", polish | {"without": [part]}
    if photos:
        on_photos = SILENT | {"polish_steps": 0, "photos_steps": steps, "photos": photos}
        yield "with photos: agreement with a teacher", on_photos | {"weights": WEIGHTS | {"photometric": 0.0}}
        yield "with photos: agreement and rendering", on_photos


class FoundFaces(NamedTuple):
    """The faces of one labelled set that the detector finds: crops, what places them in their photos, and labels."""

    crops: list[NDArray[np.uint8]]
    matrices: list[NDArray[np.float64]]
    landmarks68: list[NDArray[np.float64]]


@cache
def found_faces(labelled: str, crop_size: int) -> dict[str, FoundFaces]:
    """The found faces of each labelled set, cut out at `crop_size` px."""
    groups: dict[str, FoundFaces] = {}
    for face in read_labelled(labelled, load_config(None, []), crop_size):
        if face.detected is not None:
            of_group = groups.setdefault(face.group, FoundFaces([], [], []))
            of_group.crops.append(face.detected.crop)
            of_group.matrices.append(face.detected.crop_matrix)
            of_group.landmarks68.append(face.landmarks68)
    return groups


@cache
def rendered_faces(crop_size: int) -> SyntheticFaces:
    """Rendered faces that lack nothing, and that nobody trains on."""
    return concatenate([render_faces(bundled(), STREAM + k, CHUNK, crop_size) for k in range(CHUNKS)])


def measure(model: Path, labelled: str) -> Errors:
    """Landmark NME (%) of each found face of each labelled set, and of rendered faces that lack nothing."""
    annotator = FaceAnnotator.from_pretrained(str(model))
    errors: Errors = {}
    for group, faces in found_faces(labelled, annotator.crop_size).items():
        annotations = annotator.annotate(np.stack(faces.crops))
        points = [
            to_image(np.asarray(annotation.landmarks68, np.float64), matrix)
            for annotation, matrix in zip(annotations, faces.matrices, strict=True)
        ]
        errors[group] = 100 * landmark_nme(np.stack(points), np.stack(faces.landmarks68)).per_face.numpy()
    rendered = rendered_faces(annotator.crop_size)
    annotations = annotator.annotate(rendered.images)
    points = [np.asarray(annotation.landmarks68, np.float64) for annotation in annotations]
    error = 100 * landmark_nme(np.stack(points), rendered.landmarks2d).per_face.numpy()
    facing = rendered.theta.rotation[:, 2, 2].numpy() > 0.5
    return errors | {RENDERED: error[facing]}


def trained_and_measured(
    name: str, settings: dict[str, Any], out: Path, labelled: str, workers: int, measuring: Lock
) -> Errors:
    """The errors of a variant, read from OUT if it was measured before."""
    folder = out / name.replace(":", "").replace(" ", "-")
    result = folder / "errors.json"
    if not result.exists():
        folder.mkdir(parents=True, exist_ok=True)
        config = RECIPE | settings | {"output": str(folder), "synthetic_folder": str(out / "faces")}
        (folder / "train.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [sys.executable, "-m", "jobs", "train", str(folder / "train.yaml")]
        subprocess.run([*command, "--render-workers", str(workers)], check=True, stdout=sys.stderr)
        with measuring:
            errors = measure(folder / "model", labelled)
        result.write_text(json.dumps({group: values.tolist() for group, values in errors.items()}))
    return {group: np.array(values) for group, values in json.loads(result.read_text()).items()}


def table(results: dict[str, Errors], least: int = 20) -> str:
    """The errors of the whole recipe, and how much each other variant's differ, with one standard error."""
    whole = results[WHOLE]
    groups = [group for group, values in whole.items() if len(values) >= least]
    lines = ["| trained | " + " | ".join(groups) + " |", "|---" * (len(groups) + 1) + "|"]
    lines.append(f"| {WHOLE} | " + " | ".join(f"{np.nanmean(whole[group]):.2f}" for group in groups) + " |")
    for name, errors in results.items():
        if name != WHOLE:
            cells = []
            for group in groups:
                change = errors[group] - whole[group]
                spread = np.nanstd(change) / np.isfinite(change).sum() ** 0.5
                cells.append(f"{np.nanmean(change):+.2f} ± {spread:.2f}")
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("labelled", help="folder of photos with faces.jsonl")
    parser.add_argument("out", type=Path, help="folder for checkpoints and errors")
    parser.add_argument("--steps", type=int, default=600, help="polish steps of each variant (default 600)")
    parser.add_argument("--photos", nargs="*", default=[], help="photos to learn from without labels")
    parser.add_argument("--only", nargs="*", default=[], help="variants whose name holds one of these words")
    parser.add_argument("--at-once", type=int, default=1, help="variants trained at once (default 1)")
    args = parser.parse_args()
    cores = max(1, (cpu_count() or 1) // args.at_once)
    torch.set_num_threads(cores)
    chosen = {
        name: settings | {"threads": cores}
        for name, settings in variants(args.steps, args.photos)
        if name == WHOLE or not args.only or any(word in name for word in args.only)
    }
    results: dict[str, Errors] = {}
    measuring = Lock()
    with ThreadPoolExecutor(args.at_once) as pool:
        running = {
            pool.submit(
                trained_and_measured,
                name,
                settings,
                args.out,
                labelled=args.labelled,
                workers=cores,
                measuring=measuring,
            ): name
            for name, settings in chosen.items()
        }
        for done in as_completed(running):
            results[running[done]] = done.result()
            if WHOLE in results:
                print(table(results), file=sys.stderr)
    print(table({name: results[name] for name in chosen}))


if __name__ == "__main__":
    main()

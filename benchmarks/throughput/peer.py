"""MediaPipe's face mesh on the same photos, for the Python that has it: it imports nothing of this project.

    /path/to/python benchmarks/throughput/peer.py PHOTOS --report FILE

Another job: 468 points in 3D of each face by a small network, for video; no face model, texture, light or words. It
stands in the table as what many know the speed of. As many processes as CPUs, one photo at a time in each. The models
must lie in the wheel, as they do up to release 0.10.21.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from pathlib import Path
from statistics import fmean
from typing import Any

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
MOST_FACES = 8
MESH: Any = None


def prepare(ready: multiprocessing.Queue[float]) -> None:
    """Loads the face mesh."""
    global MESH
    import cv2
    import mediapipe

    cv2.setNumThreads(1)
    MESH = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=MOST_FACES)
    ready.put(time.monotonic())


def faces_of(path: str) -> int:
    """Counts the faces of a photo whose points it finds."""
    import cv2

    image = cv2.imread(path)
    if image is None:
        return 0
    found = MESH.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).multi_face_landmarks
    return len(found or ())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--report", type=Path, required=True)
    args = parser.parse_args()
    paths = sorted(str(path) for path in args.photos.rglob("*") if path.suffix.lower() in EXTENSIONS)
    processes = len(os.sched_getaffinity(0))
    ready = multiprocessing.Queue()
    with multiprocessing.Pool(processes, prepare, (ready,)) as pool:
        faces = sum(pool.imap_unordered(faces_of, paths, chunksize=8))
        began = fmean(ready.get() for _ in range(processes))
    args.report.write_text(json.dumps({"ready": began, "faces": faces, "images": len(paths)}), "utf-8")


if __name__ == "__main__":
    main()

"""The settings of decoding and detection."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from facegpt.settings import Name, Positive, Section

DEFAULT_DETECTOR = "libfacedetection"
NULL = "null"
"""The name of the detector and of the model that look at nothing: a dry run of everything else."""


class DecodeConfig(Section):
    """Bounds on what is read: `max_bytes` of a file, `max_pixels` of an image; sides of at least `min_side` px."""

    max_bytes: Positive = 256 * 2**20
    max_pixels: Positive = 100_000_000
    min_side: Positive = 32


class DetectorConfig(Section):
    """The face detector.

    `name`: `libfacedetection`, `dlib`, `insightface`, `yunet`, or `"null"`, which finds a box in the middle of most
    images without looking for a face (a dry run). `model`: for insightface, a model pack's name or the path of an SCRFD
    ONNX file; for yunet, the path of a YuNet ONNX file. `min_score`: on the detector's own scale (dlib: -1 to 3, the
    others: 0 to 1); absent, its usual one. `max_side`: long side in px that larger images are fitted into (insightface:
    of every image; libfacedetection: of its finest look, for small faces alone). `upsample`: how much a small image may
    be enlarged at most (not insightface; libfacedetection: for small faces alone). `padded_pass`: look again with a
    border when nothing was found, which finds faces that fill the frame. `rotations`: look again in the other three
    directions when nothing was found, which finds faces in photos that lie on their side; a photo without a face then
    costs about four times as much, and `crop_matrix` holds the turn. `max_faces` per image, the surest ones.
    `max_overlap`: of two boxes whose intersection over union is higher, the surer one stays. `device`: cuda is for
    insightface alone, and wants onnxruntime-gpu.
    """

    name: Name = DEFAULT_DETECTOR
    model: str | None = None
    min_score: float | None = None
    max_side: Annotated[int, Field(ge=64)] | None = None
    upsample: Annotated[float, Field(ge=1, le=4)] = 2.0
    padded_pass: bool = True
    rotations: bool = False
    device: Literal["cpu", "cuda"] = "cpu"
    max_faces: Positive = 256
    max_overlap: Annotated[float, Field(gt=0, le=1)] = 0.4

"""SCRFD through the insightface package: a model pack by name, or one ONNX file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pipeline.config import DetectorConfig
from pipeline.detectors.base import Detection, Detector, DetectorError, Pixels

INPUT_SIDE = 640
DETECTION = ("det_", "scrfd_")
"""How the files of detection networks in InsightFace's packs begin; the other networks of a pack are not used."""
PACKS = Path.home() / ".insightface" / "models"


class InsightFaceDetector(Detector):
    """Faces up to full profile, with five landmarks. Scores run from 0 to 1, usual threshold 0.5.

    The network sees the image fitted into a square of `max_side` px (a multiple of 32), and into a small one, which
    finds faces that fill the frame. Model packs must be in ~/.insightface/models: nothing is downloaded.
    """

    name: ClassVar[str] = "insightface"
    gives_landmarks: ClassVar[bool] = True
    default_score: ClassVar[float] = 0.5

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        path = _weights(config)
        side = config.max_side or INPUT_SIDE
        if side % 32:
            raise DetectorError(f"detector.max_side must be a multiple of 32 for insightface, not {side}")
        try:
            self._network = _load(path, [(128, 128), (side, side)], self.min_score)
        except Exception as error:
            # onnxruntime and insightface raise their own types, and asserts, on a file that is something else.
            text = " ".join(str(error).split()) or type(error).__name__
            raise DetectorError(f"detector 'insightface' cannot load {path}: {text}") from error

    @classmethod
    def weights_id(cls, config: DetectorConfig) -> str:
        path = _weights(config)
        files = [path] if path.is_file() else sorted(path.glob("*.onnx"))
        digest = hashlib.sha256()
        for file in files:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return f"scrfd {digest.hexdigest()}"

    @classmethod
    def weight_files(cls, config: DetectorConfig) -> tuple[Path, ...]:
        """The ONNX file; of a pack, the one that detects, by its name."""
        path = _weights(config)
        if path.is_file():
            return (path,)
        found = sorted(path.glob("*.onnx"))
        return tuple(file for file in found if file.stem.startswith(DETECTION)) or tuple(found)

    def find(self, rgb: Pixels) -> list[Detection]:
        boxes, points = self._network.detect(np.ascontiguousarray(rgb[..., ::-1]))
        faces = []
        for index, (x0, y0, x1, y1, score) in enumerate(boxes.astype(float).tolist()):
            landmarks = None if points is None else points[index].astype(np.float64)
            faces.append(Detection((x0, y0, x1, y1), score, landmarks))
        return faces


def _weights(config: DetectorConfig) -> Path:
    if config.model is None:
        raise DetectorError(
            "detector 'insightface' needs detector.model: a model pack's name or an SCRFD ONNX file"
        )
    given = Path(config.model).expanduser()
    if given.is_file():
        return given
    pack = given if given.is_dir() else PACKS / config.model
    if pack.is_dir() and any(pack.glob("*.onnx")):
        return pack
    raise DetectorError(
        f"detector 'insightface': there is no file {config.model}, and no model pack of that name in {PACKS}; "
        "its weights carry a non-commercial licence, so they are not downloaded for you"
    )


def _load(path: Path, sizes: list[tuple[int, int]], min_score: float) -> Any:
    import onnxruntime

    # Parallelism comes from worker processes; threads inside each would only compete.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    if path.is_file():
        from insightface.model_zoo import model_zoo

        network = model_zoo.get_model(str(path), providers=["CPUExecutionProvider"], sess_options=options)
        if getattr(network, "taskname", None) != "detection":
            raise ValueError("it is no detection network")
    else:
        from insightface.app import FaceAnalysis

        # Recognition, age and sex models of the pack stay unloaded: nothing here identifies people.
        app = FaceAnalysis(
            str(path), allowed_modules=["detection"], providers=["CPUExecutionProvider"], sess_options=options
        )
        network = app.det_model
    network.prepare(-1, input_size=sizes, det_thresh=min_score)
    return network

"""SCRFD through the insightface package: a model pack by name, or one ONNX file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from facegpt.photo.config import DetectorConfig
from facegpt.photo.detectors.base import Detection, Detector, DetectorError, Framing, Pixels

INPUT_SIDE = 640
DETECTION = ("det_", "scrfd_")
"""How the files of detection networks in InsightFace's packs begin; the other networks of a pack are not used."""
SMALL_SIDE = 128
STEP = 32
"""The coarsest grid of the network: sides of its input are multiples of this many pixels."""
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
"""onnxruntime's names of the devices."""
PACKS = Path.home() / ".insightface" / "models"


class InsightFaceDetector(Detector):
    """Faces up to full profile, with five landmarks. Scores run from 0 to 1, usual threshold 0.5.

    The network sees the image with a long side of `max_side` px (a multiple of 32), and a small copy of it, which finds
    faces that fill the frame; its input has the image's own proportions, rounded up to 32 px, unless the file fixes it.
    Model packs must be in ~/.insightface/models: nothing is downloaded.

    One image at a time: InsightFace's files are exported for a batch of 1 and refuse more. Rewritten to take them,
    det_500m needed 6, 13 and 18 % more time per image on one CPU thread in batches of 2, 4 and 8 (docs/decisions.md).
    """

    name: ClassVar[str] = "insightface"
    framing: ClassVar[Framing] = Framing(scale=1.28, right=0.0, down=0.12)
    """The box reaches from the hairline to the chin."""
    gives_landmarks: ClassVar[bool] = True
    default_score: ClassVar[float] = 0.5
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        path = _weights(config)
        side = self._side = config.max_side or INPUT_SIDE
        if side % STEP:
            raise DetectorError(f"detector.max_side must be a multiple of 32 for insightface, not {side}")
        try:
            self._network = _load(path, self.min_score, config.device)
        except Exception as error:
            # onnxruntime and insightface raise their own types, and asserts, on a file that is something else.
            text = " ".join(str(error).split()) or type(error).__name__
            raise DetectorError(f"detector 'insightface' cannot load {path}: {text}") from error

    @classmethod
    def check_device(cls, device: str) -> None:
        super().check_device(device)
        import onnxruntime

        available = onnxruntime.get_available_providers()
        if PROVIDERS[device] not in available:
            raise DetectorError(
                f"detector.device is {device}, but the installed onnxruntime has no {PROVIDERS[device]} (it has "
                f"{', '.join(available)}): install onnxruntime-gpu in its place, or say detector.device=cpu"
            )

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

    @property
    def sees(self) -> int:
        return self._side

    def find(self, rgb: Pixels) -> list[Detection]:
        height, width = rgb.shape[:2]
        if min(height, width) * self._side < max(height, width):
            return []  # less than a pixel would be left of the short side
        sizes = [fitted(width, height, side) for side in (SMALL_SIDE, self._side)]
        boxes, points = self._network.detect(np.ascontiguousarray(rgb[..., ::-1]), input_size=sizes)
        faces = []
        for index, (x0, y0, x1, y1, score) in enumerate(boxes.astype(float).tolist()):
            landmarks = None if points is None else points[index].astype(np.float64)
            faces.append(Detection((x0, y0, x1, y1), score, landmarks))
        return faces


def fitted(width: int, height: int, side: int) -> tuple[int, int]:
    """Width and height of the network's input for an image whose long side becomes `side` px: multiples of 32."""
    longest = max(width, height)
    wide, high = (-(-extent * side // (longest * STEP)) * STEP for extent in (width, height))
    return wide, high


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


def _load(path: Path, min_score: float, device: str) -> Any:
    import onnxruntime

    # Parallelism comes from worker processes; threads inside each would only compete.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Exported at one size, the file's outputs are said to be of that size; a warning for each of them at each photo.
    options.log_severity_level = 3
    # A session of its own for each size of the input, insightface's default, would pile up with the shapes of photos.
    settings = {
        "providers": [PROVIDERS[device]],
        "sess_options": options,
        "static_shape_sessions": False,
    }
    if path.is_file():
        from insightface.model_zoo import model_zoo

        network = model_zoo.get_model(str(path), **settings)
        if getattr(network, "taskname", None) != "detection":
            raise ValueError("it is no detection network")
    else:
        from insightface.app import FaceAnalysis

        # Recognition, age and sex models of the pack stay unloaded: nothing here identifies people.
        network = FaceAnalysis(str(path), allowed_modules=["detection"], **settings).det_model
    network.prepare(-1 if device == "cpu" else 0, det_thresh=min_score)
    # onnxruntime goes on without a provider that fails to start.
    if PROVIDERS[device] not in network.session.get_providers():
        raise ValueError(
            f"detector.device is {device}, but {PROVIDERS[device]} could not start on this machine"
        )
    return network

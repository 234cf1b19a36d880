"""dlib's built-in frontal face detector (HOG and a linear classifier); its weights are part of the library."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar

from facegpt.photo.config import DetectorConfig
from facegpt.photo.detectors.base import Detection, Detector, DetectorError, Framing, Pixels, resized

MAX_SIDE = 2048
"""Default long side of what is searched: faces of 80 px there are found, of 40 px in an image enlarged twice."""


class DlibDetector(Detector):
    """Faces from frontal to three-quarter view; no landmarks. Scores run from about -1 to 3.

    The usual threshold is a little above dlib's own 0: it keeps 264 of 267 labelled faces, and drops what the enlarged
    image adds on clothes and badges.
    """

    name: ClassVar[str] = "dlib"
    framing: ClassVar[Framing] = Framing(scale=1.37, right=0.0, down=0.05)
    """The box is a square from the brows to below the lips."""
    gives_landmarks: ClassVar[bool] = False
    default_score: ClassVar[float] = 0.1

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        try:
            import dlib
        except ImportError as error:
            raise DetectorError(
                f"detector 'dlib' cannot be loaded: {error}; try `pip install dlib-bin`"
            ) from error
        self._detector = dlib.get_frontal_face_detector()

    @classmethod
    def weights_id(cls, config: DetectorConfig) -> str:
        if config.model is not None:
            raise DetectorError("detector 'dlib' has its weights built in: detector.model must be absent")
        for package in ("dlib-bin", "dlib"):
            try:
                # Post releases repackage the same library.
                return f"dlib {version(package).partition('.post')[0]} frontal"
            except PackageNotFoundError:
                continue
        raise DetectorError("detector 'dlib' is not installed; try `pip install dlib-bin`")

    @property
    def sees(self) -> int:
        return self.config.max_side or MAX_SIDE

    def find(self, rgb: Pixels) -> list[Detection]:
        longest = max(rgb.shape[:2])
        limit = self.config.max_side or MAX_SIDE
        searched, scale = resized(rgb, min(self.config.upsample, limit / longest))
        rectangles, scores, _ = self._detector.run(searched, 0, self.min_score)
        # Rectangles count whole pixels, so the border runs half a pixel outside; resizing keeps the image's corner, not
        # the centre of its first pixel.
        offset = 0.5 / scale - 0.5
        return [
            Detection(
                (face.left() - 0.5, face.top() - 0.5, face.right() + 0.5, face.bottom() + 0.5), float(score)
            ).mapped(1 / scale, offset, offset)
            for face, score in zip(rectangles, scores, strict=True)
        ]

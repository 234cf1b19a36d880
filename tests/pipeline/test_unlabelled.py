"""Photos without labels become wide crops to learn from."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.config import load_config
from pipeline.errors import UsageError
from pipeline.samples import collect
from pipeline.unlabelled import cut_photos

SIZE = 112


def test_every_face_large_enough_is_cut_wider(tmp_path: Path) -> None:
    collect(tmp_path / "photos")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no image")
    crops = cut_photos([str(tmp_path / "photos")], load_config(None, ["detector.name=dlib"]), SIZE)
    assert crops.size == SIZE and 5 <= len(crops) <= 10
    assert all(float(np.std(image)) > 10 for image in crops.images)


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 64, 3), 128, np.uint8))
    config = load_config(None, ["detector.name=dlib"])
    with pytest.raises(UsageError, match="no face to learn from in 1 images"):
        cut_photos([str(tmp_path)], config, SIZE)
    with pytest.raises(UsageError, match="there is no file or folder"):
        cut_photos([str(tmp_path / "nowhere")], config, SIZE)
    other = load_config(None, ["detector.name=insightface", "detector.model=/no/such.onnx"])
    with pytest.raises(UsageError, match=r"/no/such\.onnx"):
        cut_photos([str(tmp_path)], other, SIZE)

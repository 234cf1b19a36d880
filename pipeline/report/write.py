"""Puts the page together and writes it into the output."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

import facegpt
from facegpt.library.pictures import SIDE, TURN_DEGREES, pictures
from facegpt.morphable import bundled
from pipeline.config import config_of
from pipeline.errors import UsageError, describe
from pipeline.photos.reread import entries_of, open_photo
from pipeline.report.facts import facts
from pipeline.report.figures import Segment, histogram, stacked_bar
from pipeline.report.pictures import data_uri
from pipeline.report.read import SHOWN, STATUSES, Output, choose, numbers, quarter, read_output, whole_rows

LABELS = {
    "annotated": "with faces",
    "no_face": "no face found",
    "rejected": "rejected",
    "failed": "failed",
}
PANELS = {
    "photo": "Crop of the photo",
    "landmarks": "The 68 landmarks on the crop",
    "reconstruction": "The reconstructed face drawn over the crop",
    "turned": f"The reconstructed head turned by {TURN_DEGREES:.0f} degrees",
}
UNSAID = {
    "no_face": "the detector found no face",
    "rejected": "no reason was recorded",
    "failed": "no reason was recorded",
}
REASONS_SHOWN = 60


def write_report(output: str, shown: int = SHOWN) -> str:
    """Writes OUTPUT/report/index.html, one file that needs nothing else, and returns where it lies.

    The page counts every photo of the committed shards, groups those without a face by reason, and shows at most
    `shown` faces with pictures; their photos are read again, and one that is gone leaves a note in its place.

    Args:
        output: of `annotate`, a path or an s3:// URL.
        shown: the most faces to show.

    Raises:
        UsageError: there is no run at `output`, one of its tables is damaged, or it cannot be written to.
    """
    read = read_output(output)
    page = render_page(read, shown).encode("utf-8")
    try:
        read.storage.write("report/index.html", page)
    except Exception as error:
        # s3fs and botocore raise many types; each of them means the same to the user.
        raise UsageError(f"cannot write the report to OUTPUT {output}: {describe(error)}") from error
    return read.storage.uri("report/index.html")


def render_page(read: Output, shown: int = SHOWN) -> str:
    """The page's HTML."""
    here = files("pipeline.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string((here / "page.html.j2").read_text("utf-8"))
    photos, n_faces = sum(read.statuses.values()), read.faces.num_rows
    chosen = choose(read.faces, shown)
    segments = [
        Segment(status, LABELS[status], read.statuses[status]) for status in STATUSES if read.statuses[status]
    ]
    return template.render(
        version=facegpt.__version__,
        style=Markup((here / "page.css").read_text("utf-8")),
        title=f"{_count(n_faces, 'face')} in {_count(photos, 'photo')}",
        where=read.storage.root,
        notice=read.record.get("notice"),
        counts=_counts(read, photos),
        segments=segments,
        status_bar=stacked_bar(segments, label="Photos"),
        figures=_figures(read) if n_faces else [],
        n_faces=n_faces,
        selection=_selection(n_faces, len(chosen)),
        turn=f"{TURN_DEGREES:.0f}",
        tiles=[_tile(row) for row in _with_pictures(read, chosen)],
        side=SIDE,
        labels=LABELS,
        reasons=[
            {
                "count": reason.count,
                "status": reason.status,
                "stage": reason.stage,
                "reason": reason.reason or UNSAID[reason.status],
                "examples": [(_name(uri), uri) for uri in reason.examples],
            }
            for reason in read.reasons[:REASONS_SHOWN]
        ],
        reasons_lead=_reasons_lead(read),
        facts=facts(read.record, read.provenance),
        record=json.dumps(read.record, indent=2, ensure_ascii=False),
    )


def _with_pictures(read: Output, chosen: Sequence[int]) -> list[dict[str, Any]]:
    """The chosen rows, each with its `pictures` by panel and, where the photo cannot be had, `note`."""
    rows = whole_rows(read, chosen)
    model = bundled()
    made_with = read.provenance.face_model_sha256 if read.provenance else None
    drawable = model if model.sha256 == made_with else None
    config = config_of(read.record["config"]).decode
    entries = entries_of(read.storage, rows)
    for row in rows:
        photo, row["note"] = open_photo(row, config, entries.get((row["shard"], row["uri"])))
        row["pictures"] = {name: data_uri(image) for name, image in pictures(drawable, row, photo).items()}
        row["note"] = row["note"] or f"not drawn: the face model is not {model.id} of this version"
    return rows


def _tile(row: Mapping[str, Any]) -> dict[str, Any]:
    quality = row["quality"]
    known = quality is not None and math.isfinite(quality)
    angles = " · ".join(f"{name} {_degrees(row[f'{name}_deg'])}" for name in ("yaw", "pitch", "roll"))
    return {
        "pictures": [
            {
                "data": row["pictures"].get(panel),
                "alt": f"{text}" if panel in row["pictures"] else row["note"],
            }
            for panel, text in PANELS.items()
        ],
        "caption": row["caption"] or "No caption.",
        "truncated": row["caption_status"] == "truncated",
        "quality": f"{quality:.2f}" if known else "unknown",
        "percent": f"{100 * min(max(quality, 0.0), 1.0):.0f}" if known else "0",
        "quality_title": f"photometric {row['photometric_psnr']:.1f} dB inside the face, "
        f"prior distance {row['prior_distance']:.2f}, "
        f"{100 * row['caption_agreement']:.0f} % of the caption agrees with the parameters",
        "facts": angles,
        "uri": row["uri"],
        "name": f"{row['face_px']:.0f} px · {_name(row['uri'])}",
    }


def _counts(read: Output, photos: int) -> list[dict[str, str]]:
    quality = numbers(read.faces, "quality")
    finite = quality[np.isfinite(quality)]
    counts = [
        {"label": "Photos", "value": f"{photos:,}", "detail": _size(read.bytes)},
        {"label": "Faces", "value": f"{read.faces.num_rows:,}", "detail": ""},
        {
            "label": "Photos with a face",
            "value": f"{100 * read.statuses['annotated'] / photos:.0f}%" if photos else "–",
            "detail": "",
        },
        {"label": "Failed", "value": f"{read.statuses['failed']:,}", "detail": ""},
    ]
    if finite.size:
        counts.insert(3, {"label": "Median quality", "value": f"{np.median(finite):.2f}", "detail": "of 1"})
    return counts


def _figures(read: Output) -> list[dict[str, Any]]:
    yaw, quality, pixels = (numbers(read.faces, name) for name in ("yaw_deg", "quality", "face_px"))
    octaves = [16 * 2 ** (step / 2) for step in range(15)]
    return [
        {
            "title": "Yaw.",
            "note": "Which way the head is turned, in degrees; 0 faces the camera.",
            "svg": histogram(
                yaw, range(-90, 91, 10), label="Yaw", unit="°", ticks=(-90, -60, -30, 0, 30, 60, 90)
            ),
        },
        {
            "title": "Quality.",
            "note": "1 is best: it falls with the landmark error that the model expects of itself.",
            "svg": histogram(
                quality,
                [step / 20 for step in range(21)],
                label="Quality",
                ticks=(0, 0.25, 0.5, 0.75, 1),
                decimals=2,
            ),
        },
        {
            "title": "Face size.",
            "note": "Side of the face's box in pixels of the photo, on a logarithmic axis.",
            "svg": histogram(
                pixels, octaves, label="Face size", ticks=(16, 32, 64, 128, 256, 512, 1024, 2048)
            ),
        },
    ]


def _selection(total: int, shown: int) -> str:
    if total <= shown:
        return "All of them, best quality first." if total > 1 else "The only one."
    worst = quarter(shown)
    return f"{shown} of {total:,}: the {worst} of lowest quality, the rest spaced evenly over the run; best first."


def _reasons_lead(read: Output) -> str:
    count = sum(reason.count for reason in read.reasons)
    lead = f"{_count(count, 'photo')} ended without a face, grouped by reason. Each has its row in the images table."
    if len(read.reasons) > REASONS_SHOWN:
        lead += f" The {REASONS_SHOWN} most frequent of {len(read.reasons):,} reasons are shown."
    return lead


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _degrees(value: float) -> str:
    return (
        f"{value:+.0f}°".replace("-", "\N{MINUS SIGN}").replace("+0°", "0°").replace("\N{MINUS SIGN}0°", "0°")
    )


def _name(uri: str) -> str:
    return uri.rstrip("/").rsplit("/", 1)[-1]


def _size(count: int) -> str:
    size, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"

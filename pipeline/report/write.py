"""Writing the report: one page, rendered from a template, in OUTPUT/report."""

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
from facegpt.library.pictures import SIDE, TURN_DEGREES, draw_pictures
from facegpt.morphable import bundled
from pipeline.config import config_of
from pipeline.errors import UsageError, describe
from pipeline.photos.reread import entries_of, open_photo
from pipeline.report.facts import run_facts
from pipeline.report.figures import Segment, histogram, stacked_bar
from pipeline.report.pictures import data_uri
from pipeline.report.read import (
    SHOWN,
    ReportData,
    choose_faces,
    float_column,
    lowest_count,
    read_report_data,
    read_rows,
)
from schemas import STATUSES

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
DEFAULT_REASONS = {
    "no_face": "the detector found no face",
    "rejected": "no reason was recorded",
    "failed": "no reason was recorded",
}
REASONS_SHOWN = 60


def write_report(output: str, shown: int = SHOWN) -> str:
    """Writes OUTPUT/report/index.html, one self-contained file, and returns its path or URL.

    The page counts every photo of the committed shards, groups those without a face by reason, and shows at most
    `shown` faces with pictures; their photos are read again, and one that is gone leaves a note in its place.

    Args:
        output: of `annotate`, a path or an s3:// URL.
        shown: the number of faces to show, at most.

    Raises:
        UsageError: there is no run at `output`, one of its tables is damaged, or it cannot be written to.
    """
    data = read_report_data(output)
    page = render_page(data, shown).encode("utf-8")
    try:
        data.storage.write("report/index.html", page)
    except Exception as error:
        # s3fs and botocore raise many types; each of them means the same to the user.
        raise UsageError(f"cannot write the report to OUTPUT {output}: {describe(error)}") from error
    return data.storage.uri("report/index.html")


def render_page(data: ReportData, shown: int = SHOWN) -> str:
    """Renders the page as HTML."""
    here = files("pipeline.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string((here / "page.html.j2").read_text("utf-8"))
    photos, n_faces = sum(data.statuses.values()), data.faces.num_rows
    chosen = choose_faces(data.faces, shown)
    segments = [
        Segment(status, LABELS[status], data.statuses[status]) for status in STATUSES if data.statuses[status]
    ]
    return template.render(
        version=facegpt.__version__,
        style=Markup((here / "page.css").read_text("utf-8")),
        title=f"{_plural(n_faces, 'face')} in {_plural(photos, 'photo')}",
        where=data.storage.root,
        notice=data.record.get("notice"),
        counts=_counts(data, photos),
        segments=segments,
        status_bar=stacked_bar(segments, label="Photos"),
        figures=_figures(data) if n_faces else [],
        n_faces=n_faces,
        selection=_selection(n_faces, len(chosen)),
        turn=f"{TURN_DEGREES:.0f}",
        tiles=[_tile(row) for row in _read_with_pictures(data, chosen)],
        side=SIDE,
        labels=LABELS,
        reasons=[
            {
                "count": reason.count,
                "status": reason.status,
                "stage": reason.stage,
                "reason": reason.reason or DEFAULT_REASONS[reason.status],
                "examples": [(_file_name(uri), uri) for uri in reason.examples],
            }
            for reason in data.reasons[:REASONS_SHOWN]
        ],
        reasons_lead=_reasons_lead(data),
        facts=run_facts(data.record, data.provenance),
        record=json.dumps(data.record, indent=2, ensure_ascii=False),
    )


def _read_with_pictures(data: ReportData, chosen: Sequence[int]) -> list[dict[str, Any]]:
    """Reads the chosen rows, and adds `pictures` by panel and `note`: why pictures are missing."""
    rows = read_rows(data, chosen)
    model = bundled()
    made_with = data.provenance.face_model_sha256 if data.provenance else None
    drawable = model if model.sha256 == made_with else None
    config = config_of(data.record["config"]).decode
    entries = entries_of(data.storage, rows)
    for row in rows:
        photo, row["note"] = open_photo(row, config, entries.get((row["shard"], row["uri"])))
        row["pictures"] = {
            name: data_uri(image) for name, image in draw_pictures(drawable, row, photo).items()
        }
        row["note"] = row["note"] or f"not drawn: the face model is not {model.id} of this version"
    return rows


def _tile(row: Mapping[str, Any]) -> dict[str, Any]:
    """Formats a face's row for its tile on the page."""
    quality = row["quality"]
    has_quality = quality is not None and math.isfinite(quality)
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
        "quality": f"{quality:.2f}" if has_quality else "unknown",
        "percent": f"{100 * min(max(quality, 0.0), 1.0):.0f}" if has_quality else "0",
        "quality_title": f"photometric {row['photometric_psnr']:.1f} dB inside the face, "
        f"prior distance {row['prior_distance']:.2f}, "
        f"{100 * row['caption_agreement']:.0f} % of the caption agrees with the parameters",
        "facts": angles,
        "uri": row["uri"],
        "name": f"{row['face_px']:.0f} px · {_file_name(row['uri'])}",
    }


def _counts(data: ReportData, photos: int) -> list[dict[str, str]]:
    """Formats the counts at the top of the page: label, value and detail."""
    quality = float_column(data.faces, "quality")
    finite = quality[np.isfinite(quality)]
    counts = [
        {"label": "Photos", "value": f"{photos:,}", "detail": _size(data.bytes)},
        {"label": "Faces", "value": f"{data.faces.num_rows:,}", "detail": ""},
        {
            "label": "Photos with a face",
            "value": f"{100 * data.statuses['annotated'] / photos:.0f}%" if photos else "–",
            "detail": "",
        },
        {"label": "Failed", "value": f"{data.statuses['failed']:,}", "detail": ""},
    ]
    if finite.size:
        counts.insert(3, {"label": "Median quality", "value": f"{np.median(finite):.2f}", "detail": "of 1"})
    return counts


def _figures(data: ReportData) -> list[dict[str, Any]]:
    """Draws the histograms of yaw, quality and face size, each with title and note."""
    yaw, quality, pixels = (float_column(data.faces, name) for name in ("yaw_deg", "quality", "face_px"))
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
    """Says which of the faces are shown."""
    if total <= shown:
        return "All of them, best quality first." if total > 1 else "The only one."
    worst = lowest_count(shown)
    return f"{shown} of {total:,}: the {worst} of lowest quality, the rest spaced evenly over the run; best first."


def _reasons_lead(data: ReportData) -> str:
    """Says how many photos have no face."""
    count = sum(reason.count for reason in data.reasons)
    lead = f"{_plural(count, 'photo')} ended without a face, grouped by reason. Each has its row in the images table."
    if len(data.reasons) > REASONS_SHOWN:
        lead += f" The {REASONS_SHOWN} most frequent of {len(data.reasons):,} reasons are shown."
    return lead


def _plural(count: int, noun: str) -> str:
    """Formats a count with its noun, in the plural unless it is one."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _degrees(value: float) -> str:
    """Formats an angle in whole degrees with its sign, and zero without one."""
    return (
        f"{value:+.0f}°".replace("-", "\N{MINUS SIGN}").replace("+0°", "0°").replace("\N{MINUS SIGN}0°", "0°")
    )


def _file_name(uri: str) -> str:
    """Returns the last part of a URI."""
    return uri.rstrip("/").rsplit("/", 1)[-1]


def _size(count: int) -> str:
    """Formats a number of bytes in the largest fitting unit, powers of 1000."""
    size, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"

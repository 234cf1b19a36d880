"""Makes docs/images/result.jpg, the picture of the README, from a run: `python docs/make_picture.py demo/faces`."""

from __future__ import annotations

import sys
from pathlib import Path

from facegpt.library.pictures import draw_pictures, strip
from facegpt.morphable import bundled
from facegpt.photo.config import DecodeConfig
from pipeline.photos.reread import open_photo
from pipeline.report.read import read_report_data, read_rows

PHOTO = "portrait-spacesuit.png"  # NASA, public domain
SIDE = 300


def main(output: str) -> None:
    run = read_report_data(output)
    rows = read_rows(run, range(run.faces.num_rows))
    row = next(row for row in rows if row["uri"].endswith(PHOTO))
    photo, note = open_photo(row, DecodeConfig())
    if photo is None:
        sys.exit(note)
    drawn = strip(list(draw_pictures(bundled(), row, photo, SIDE).values()))
    place = Path(__file__).parent / "images" / "result.jpg"
    place.parent.mkdir(exist_ok=True)
    drawn.save(place, quality=88)
    print(f"{place}: {row['caption']}")


main(*sys.argv[1:])

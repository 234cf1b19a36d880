"""One file in a hundred is poison of each kind: the command ends by itself, and names every one of them."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import pandas
import pytest
from drills.job import SUPPORT, Job
from drills.scenes import NULL, make_corpus
from images import encoded
from PIL import Image

from jobs.cli import main

IMAGES, EACH = 320, 4
SECONDS = 10
OPTIONS = (*NULL, "--set", f"workers.image_seconds={SECONDS}")


def truncated() -> dict[str, bytes]:
    """Files that end early, in three formats; what is there of them is sound."""
    noise = Image.effect_noise((256, 256), 60).convert("RGB")
    whole = {
        "cut-1.jpg": encoded(noise, "JPEG"),
        "cut-2.png": encoded(noise),
        "cut-3.webp": encoded(noise, "WEBP"),
    }
    return {name: data[: len(data) // 3] for name, data in whole.items()} | {"cut-4.png": encoded(noise)[:20]}


def bombs() -> dict[str, bytes]:
    """Small files that would fill the memory."""
    gif = io.BytesIO()
    Image.new("P", (1, 1)).save(gif, "GIF")
    frame = gif.getvalue()
    wide = frame[:6] + struct.pack("<HH", 65535, 65535) + frame[10:]
    plain = encoded(Image.new("RGB", (64, 64)))
    text = b"Comment\0\0" + zlib.compress(bytes(200 * 2**20))
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    return {
        "bomb-1.png": encoded(Image.new("1", (20_000, 20_000))),
        "bomb-2.gif": wide,
        "bomb-3.png": plain[:33] + chunk + plain[33:],
        "bomb-4.tif": encoded(Image.new("1", (30_000, 30_000)), "TIFF", compression="group4"),
    }


REASONS = {
    "cut": ("damaged or truncated", "header is damaged", "damaged or unsupported"),
    "bomb": ("a decompression bomb", "Decompressed data too large"),
    "killer": ("crash: its process was ended by SIG",),
    "stuck": (f"took longer than {SECONDS} s (workers.image_seconds): stopped",),
}


@pytest.mark.timeout(900)
def test_a_corpus_with_poison_ends_by_itself_and_names_each_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, clean, output = make_corpus(tmp_path / "photos", IMAGES), tmp_path / "clean", tmp_path / "out"
    code, printed = Job(photos, clean, OPTIONS).start().finish()
    assert code == 0, printed
    killers = {f"killer-{number}.jpg": b"KILL %d" % number for number in (4, 7, 9, 11)}
    poison = {**truncated(), **bombs(), **killers}
    assert len(poison) == 3 * EACH
    for index, (name, data) in enumerate(sorted(poison.items())):
        (photos / f"{index % 6:02}" / name).write_bytes(data)
    os.mkfifo(photos / "03" / "stuck.jpg")

    environment = {"PYTHONPATH": str(SUPPORT / "poison")}
    code, printed = Job(photos, output, OPTIONS, environment).start().finish()
    assert code == 0, printed
    ledger, before = (pandas.read_parquet(place / "images").set_index("uri") for place in (output, clean))
    assert len(ledger) == IMAGES + len(poison) + 1
    bad = ledger.drop(index=before.index)
    assert {Path(uri).name for uri in bad.index} == {*poison, "stuck.jpg"}
    assert set(bad["status"]) == {"failed"}
    for uri, reason in bad["reason"].items():
        kind = Path(uri).name.partition("-")[0].removesuffix(".jpg")
        assert any(said in reason for said in REASONS[kind]), (uri, reason)
    # Everybody else's rows are what they are without the poison, but for the shard that they fell into. A column with a
    # null in it (the size of what could not be read) is no column of integers to pandas.
    pandas.testing.assert_frame_equal(
        ledger.loc[before.index].drop(columns="shard"), before.drop(columns="shard"), check_dtype=False
    )
    faces, wanted = (
        pandas.read_parquet(place / "faces").sort_values("face_id", ignore_index=True)
        for place in (output, clean)
    )
    pandas.testing.assert_frame_equal(faces.drop(columns="shard"), wanted.drop(columns="shard"))

    assert main(["verify", str(output)]) == 0
    assert "OK:" in capsys.readouterr().out
    code, printed = Job(photos, output, OPTIONS, environment).start().finish()
    assert code == 0
    assert "nothing to do" in printed

"""The dry mode: what it gives, how fast, and that nobody can take its rows for data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from images import encoded
from listing import listed, tasks_of
from manifests import add_shards
from PIL import Image

from facegpt.photo.detectors import DetectorError, create_detector
from jobs.cli import main
from pipeline.annotate.model_source import CheckpointSource
from pipeline.annotate.null_model import CAPTION, NullSource, notice
from pipeline.annotate.stage import AnnotateFaces
from pipeline.config import RunConfig, load_config
from pipeline.detect.stage import DetectAndCrop
from pipeline.errors import UsageError
from pipeline.output.commit import commit_shard
from pipeline.output.run_json import write_record
from pipeline.report import write_report
from pipeline.run.fingerprint import combined, fingerprints
from pipeline.run.setup import new_record, set_up
from pipeline.storage.store import Storage
from pipeline.upkeep.verify import verify
from schemas import read_provenance

NULL = load_config(None, ["detector.name=null", "model.path=null", "output.meshes=false"])


def noise(seed: int, width: int = 60, height: int = 40) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8), "RGB"
    )


def test_the_box_lies_in_the_middle_and_the_score_depends_on_the_image_alone() -> None:
    detector = create_detector(NULL.detector)
    pixels = np.asarray(noise(3))
    (face,) = detector.detect(pixels)
    assert face.box == (19.5, 9.5, 39.5, 29.5)
    assert detector.detect(pixels.copy()) == [face]
    assert face.score != create_detector(NULL.detector).detect(np.asarray(noise(4)))[0].score


def test_one_image_in_eight_has_no_face_or_as_many_as_min_score_says() -> None:
    images = [np.asarray(noise(seed)) for seed in range(400)]

    def share(*overrides: str) -> float:
        detector = create_detector(load_config(None, ["detector.name=null", *overrides]).detector)
        return sum(not detector.detect(image) for image in images) / len(images)

    assert share() == pytest.approx(0.125, abs=0.05)
    assert share("detector.min_score=0.5") == pytest.approx(0.5, abs=0.08)
    assert share("detector.min_score=0") == 0


def test_a_null_detector_has_no_weights() -> None:
    with pytest.raises(DetectorError, match=r"detector\.model must be absent"):
        create_detector(load_config(None, ["detector.name=null", "detector.model=x"]).detector)


def test_the_model_says_the_mean_face_in_the_light_of_the_crop() -> None:
    annotator = NullSource().load("cpu")
    crops = np.zeros((2, 112, 112, 3), np.uint8)
    crops[1] = (255, 0, 51)
    dark, red = annotator.annotate(crops)
    assert not dark.lighting.any()
    np.testing.assert_allclose(red.lighting[:3], [1, 0, 0.2], atol=1e-6)
    assert (len(red.shape), len(red.expression), len(red.albedo)) == (80, 52, 80)
    assert not red.shape.any()
    # The nose tip (31st of iBUG) lies near the middle, the eyes above the mouth, all inside the crop.
    assert abs(red.landmarks68[30] - 55.5).max() < 10
    assert red.landmarks68[36:48, 1].max() < red.landmarks68[48:, 1].min()
    assert 0 < red.landmarks68.min() < red.landmarks68.max() < 111
    assert (red.caption, red.caption_status, red.quality) == (CAPTION, "null", 0.0)


@pytest.mark.parametrize("name", ["null", '"null"', "'null'"])
def test_null_is_a_name_on_the_command_line(name: str) -> None:
    config = load_config(None, [f"detector.name={name}", f"model.path={name}"])
    assert (config.detector.name, config.model.path) == ("null", "null")


@pytest.mark.parametrize("text", ["detector: {name: null}", "detector: {name: }", "model: {path: ~}"])
def test_an_empty_name_in_a_file_is_no_dry_run(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UsageError, match=r'the text "null", in quotes'):
        load_config(str(tmp_path / "c.yaml"))


def test_the_printed_configuration_is_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", "in", "out", "--detector", "null", "--model", "null", "--print-config"]) == 0
    (tmp_path / "c.yaml").write_text(capsys.readouterr().out)
    again = load_config(str(tmp_path / "c.yaml"), ["output.meshes=false"])
    assert again == NULL


def test_the_flags_win_over_set(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--set", "model.path=other", "--model", "no: colon # hash", "--print-config"]
    assert main(["annotate", "in", "out", *arguments]) == 0
    assert "path: 'no: colon # hash'" in capsys.readouterr().out


def test_dry_and_real_rows_never_mix() -> None:
    null = fingerprints(NULL, NullSource().digest)
    real = fingerprints(RunConfig(), CheckpointSource("bundled").digest)
    assert null["model"] != real["model"]
    assert null["detector"] != real["detector"]


def test_every_place_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for seed in range(20):
        (photos / f"{seed}.png").write_bytes(encoded(noise(seed)))
    (photos / "bad.png").write_bytes(b"no image")
    storage, source = Storage(str(out)), NullSource()
    setup = set_up(NULL, source)
    write_record(storage, new_record(setup))
    fingerprint = combined(setup.fingerprints)
    manifest = add_shards(storage, listed(photos), 100)
    detect = DetectAndCrop(NULL, source.crop_size)
    annotate = AnnotateFaces(NULL, source.load("cpu"), fingerprint)
    for task in tasks_of(storage):
        outcome = commit_shard(storage, annotate(detect(task)), fingerprint)
    assert outcome.statuses["failed"] == 1
    assert outcome.statuses["no_face"] + outcome.statuses["annotated"] == 20
    assert outcome.statuses["no_face"] and outcome.statuses["annotated"]
    assert verify(storage, fingerprint).problems == []

    table = pq.read_table(out / "faces" / f"{manifest.shards[0].shard}.parquet")
    provenance = read_provenance(table.schema)
    assert provenance.model_digest.startswith(CAPTION)
    assert provenance.detector == "null"
    assert set(table["caption"].to_pylist()) == {CAPTION}
    assert set(table["caption_status"].to_pylist()) == {"null"}
    assert set(table["quality"].to_pylist()) == {0.0}

    said = "dry run, no data: null model: no face was looked at; null detector: its boxes are no faces"
    record = json.loads((out / "run.json").read_text())
    assert record["notice"] == said
    assert record["licences"]["model null"].startswith("none")
    assert main(["status", str(out)]) == 0
    assert f"notice    {said}\n" in capsys.readouterr().out
    assert main(["status", str(out), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["notice"], status["statuses"]) == (said, dict(outcome.statuses))
    write_report(str(out))
    page = (out / "report" / "index.html").read_text()
    assert f'<p class="notice" role="note">{said}</p>' in page


def test_only_what_is_null_is_called_null() -> None:
    assert notice(RunConfig().model_dump()) is None
    assert notice(load_config(None, ["detector.name=null"]).model_dump()) == (
        "dry run, no data: null detector: its boxes are no faces"
    )
    assert "notice" not in new_record(set_up(RunConfig()))

"""Every numeric setting at values that make no sense is one clear line, or a run that trains."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pydantic import BaseModel
from tiny_training import tiny_config, write_config

from facegpt.morphable import bundled
from facegpt.settings import SettingsError
from facegpt.training.config import HELD_OUT, TrainConfig
from facegpt.training.config.sections import SMALL_STAGES, RenderingConfig
from facegpt.training.data.pool import ShardPool, parts
from facegpt.training.data.shard_cache import render_shards, store_of
from facegpt.training.photos.views import degraded
from jobs.cli import main
from jobs.train import train
from pipeline.sources.samples import collect


def numbers(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, int | float]]:
    """Yields each numeric setting with its default."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", value


NUMBERS = dict(numbers(TrainConfig(output="run")))
WHOLE = {key for key, value in NUMBERS.items() if isinstance(value, int)}
MAY_BE_0 = {
    "seed", "start.lora_rank", *(f"stages.{name}.steps" for name in (*SMALL_STAGES, "face")),
    "data.first_shard", "photos.min_quality", "photos.clean", "photos.teacher_ema", "text.every",
    "text.descriptions", "optimiser.warmup", "optimiser.final_learning_rate", "optimiser.weight_decay",
    "optimiser.ema", *(key for key in NUMBERS if key.startswith("weights.")),
}  # fmt: skip
WRONG = [
    *((key, value) for key in NUMBERS for value in ("-1", ".nan", "-.inf", "yes", "many", "null")),
    *((key, "0") for key in NUMBERS if key not in MAY_BE_0),
    *((key, value) for key in NUMBERS if key in WHOLE for value in ("0.5", "2.0", ".inf")),
]


def test_all_numbers_are_here() -> None:
    assert len(NUMBERS) == 56 and {"compute.workers", "data.batch", "stages.trunk.learning_rate"} <= set(
        NUMBERS
    )


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_number_that_makes_no_sense_names_its_key(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^training config key '{key}': ") as caught:
        TrainConfig.of({"output": "run"}, [f"{key}={value}"])
    assert "\n" not in str(caught.value) and str(caught.value).count("training config key") == 1


@pytest.mark.parametrize("key", sorted(set(NUMBERS) - MAY_BE_0))
def test_it_is_one_line_of_the_command_and_nothing_is_written(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)
    for value in ("0", "-1", ".nan"):
        assert main(["train", config, "--set", f"{key}={value}"]) == 2
        error = capsys.readouterr().err.strip()
        assert "\n" not in error and f"'{key}'" in error and error.endswith(f"not {value.lstrip('.')}")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("option", ["--workers", "--render-workers"])
@pytest.mark.parametrize("count", ["0", "-1"])
def test_no_workers_is_one_line(
    option: str, count: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", write_config(tmp_path), option, count]) == 2
    assert capsys.readouterr().err == f"facegpt: {option} {count}: at least 1 is wanted\n"
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["data.batch=1"], "data.batch is 1: the batch norms of the small FaceGPT want 2 faces at least"),
        (["data.batch=33"], "data.batch 33 takes 9 faces of one shard, and rendering.shard_faces is 8"),
        (["data.first_shard=999999"], "held out: lower data.first_shard"),
        (["stages.photos.steps=1"], "no photos.locations"),
        (
            ["stages.photos.steps=1", "photos.locations=x", "photos.batch=2", "photos.clean=3"],
            "photos.clean is 3",
        ),
    ],
)
def test_what_does_not_go_together_names_both(
    changes: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [argument for change in changes for argument in ("--set", change)]
    assert main(["train", write_config(tmp_path), *overrides]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_what_is_printed_is_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, "start.initial=nowhere", "photos.detector=null", "optimiser.clip=.inf")
    assert main(["train", config, "--workers", "3", "--face-model", "null", "--print-config"]) == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out, encoding="utf-8")
    read = TrainConfig.load(str(printed))
    assert (read.compute.workers, read.start.face_model, read.photos.detector) == (3, "null", "null")
    assert read.optimiser.clip == math.inf and read.steps == 4
    assert read.changed().keys() >= {"output", "start.initial", "compute.workers", "optimiser.clip"}
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Rendered shards for all of these runs."""
    folder = str(tmp_path_factory.mktemp("faces"))
    render_shards(RenderingConfig(folder=folder, shard_faces=8), SIZE, [*range(3), HELD_OUT])
    return folder


SIZE = 64


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 6, 7, 31, 32])
def test_a_step_has_as_many_faces_as_the_config_says(batch: int, tmp_path: Path, faces: str) -> None:
    assert sum(parts(batch)) == batch and max(parts(batch)) - min(parts(batch)) <= 1
    stages = [f"stages.{name}.steps=0" for name in SMALL_STAGES] + ["stages.face.steps=1"]
    config = tiny_config(tmp_path, *stages, f"data.batch={batch}", f"start.crop_size={SIZE}")
    config = config.model_copy(update={"rendering": RenderingConfig(folder=faces, shard_faces=8)})
    pool = ShardPool(config, store_of(config.rendering, SIZE, bundled()), bundled(), lambda: True)
    assert len(next(pool.batches(0)).images) == batch


def trained(folder: Path, faces: str, *changes: str) -> dict[str, Any]:
    """Trains through each stage of the small FaceGPT, photos as well; returns the state that is stored."""
    collect(folder / "photos")
    stages = [f"stages.{name}.steps=1" for name in SMALL_STAGES]
    photos = [f"photos.locations={folder / 'photos'}", "photos.batch=2", "photos.clean=1"]
    size = [f"start.crop_size={SIZE}", f"rendering.folder={faces}"]
    config = tiny_config(folder, *stages, *photos, *size, *changes)
    train(config, bundled(), lambda: False)
    return dict(torch.load(folder / "run" / "training.pt", weights_only=True))


def check_trained(state: dict[str, Any], steps: int) -> None:
    assert state["step"] == steps
    assert all(bool(torch.isfinite(value).all()) for value in state["model"].values())


@pytest.mark.slow
def test_a_run_with_every_0_that_is_allowed_trains(tmp_path: Path, faces: str) -> None:
    """But for the stages, and the weight of one loss: without any there is nothing to train."""
    losses = {"weights.landmarks", "weights.photometric"}
    zeros = [f"{key}=0" for key in MAY_BE_0 - losses if not key.startswith("stages.")]
    check_trained(trained(tmp_path, faces, *zeros), steps=6)


@pytest.mark.slow
def test_batches_of_any_size_train(tmp_path: Path, faces: str) -> None:
    changes = ["data.batch=3", "photos.batch=1", "text.descriptions=9", "weights.landmarks=0"]
    check_trained(trained(tmp_path, faces, *changes), steps=6)


def test_all_photos_may_be_seen_as_they_are() -> None:
    nothing = degraded(torch.zeros(0, 3, SIZE, SIZE), torch.Generator())
    assert nothing.shape == (0, 3, SIZE, SIZE)


def test_the_documentation_names_every_setting_and_its_examples_are_configs(repository: Path) -> None:
    text = (repository / "docs" / "train.md").read_text(encoding="utf-8")
    for example in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        assert TrainConfig.of(yaml.safe_load(example)).stages.photos.steps == 1000
    keys = TrainConfig.known_keys()
    leaves = {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)}
    rows = {row for row in leaves if not row.startswith(("stages.", "weights."))}
    assert {key for key in rows if f"`{key}`" not in text} == set()

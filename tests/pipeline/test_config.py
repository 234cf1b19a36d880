from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.config import RunConfig, load_config
from pipeline.errors import UsageError


def test_defaults_a_file_and_overrides_come_in_this_order(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("detector:\n  max_faces: 7\n  min_score: 0.25\nmodel:\n  device: cpu\n")
    config = load_config(str(file), ["detector.max_faces=9", "output.meshes=false"])
    assert (config.detector.name, config.detector.min_score, config.detector.max_faces) == (
        "libfacedetection",
        0.25,
        9,
    )
    assert config.model.device == "cpu"
    assert config.output.meshes is False


def test_what_is_printed_can_be_read_again(tmp_path: Path) -> None:
    file = tmp_path / "printed.yaml"
    config = load_config(None, ["shards.max_images=50"])
    file.write_text(config.as_yaml())
    assert load_config(str(file)) == config


@pytest.mark.parametrize(
    ("override", "near"),
    [
        ("detector.nme=dlib", "'detector.name'"),
        ("detectr.name=dlib", "'detector'"),
        ("decode.max_pixel=5", "'decode.max_pixels'"),
    ],
)
def test_an_unknown_key_names_the_nearest(override: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"unknown config key .* nearest one is {near}"):
        load_config(None, [override])


@pytest.mark.parametrize(
    "override",
    [
        "decode.max_pixels=-1",
        "model.micro_batch=many",
        "model.device=tpu",
        "detector=3",
        "nonsense",
        "=1",
        "a..b=1",
        "detector.name.x=1",
    ],
)
def test_a_bad_value_is_one_line_that_names_it(override: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_config(None, [override])
    assert "\n" not in str(caught.value)
    assert override.split("=")[0].split(".")[0] in str(caught.value)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "just text"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"run\.yaml"):
        load_config(str(file))


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(UsageError, match=r"cannot read the config nowhere\.yaml"):
        load_config("nowhere.yaml")


def test_known_keys_are_all_of_them() -> None:
    def leaves(values: dict[str, object], prefix: str = "") -> list[str]:
        return [
            key
            for name, value in values.items()
            for key in (leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name])
        ]

    assert set(leaves(yaml.safe_load(RunConfig().as_yaml()))) <= set(RunConfig.known_keys())


def test_only_what_changes_rows_is_deciding() -> None:
    base = RunConfig().deciding()
    for override in ("workers.detect=3", "model.micro_batch=4", "shards.max_images=9", "model.device=cpu"):
        assert load_config(None, [override]).deciding() == base
    for override in ("decode.min_side=64", "output.meshes=false"):
        assert load_config(None, [override]).deciding() != base

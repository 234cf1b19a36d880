"""Configs with the flat keys of earlier versions load, and mean what they meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facegpt.settings import SettingsError
from facegpt.training.config import TrainConfig
from facegpt.training.config.earlier_keys import EARLIER_KEYS

ROOT = Path(__file__).parents[3]
FLAT = ROOT / "tests" / "data" / "training"
STORED = {
    "output": "run", "initial": ["bundled"], "backbone": None, "lora_rank": 0, "face_model": "bundled",
    "photos": ["photos"], "detector": "yunet", "synthetic_folder": "faces", "shard_faces": 8,
    "without": ["hair"], "size": 112, "seed": 5, "points_steps": 1, "trunk_steps": 2, "polish_steps": 3,
    "photos_steps": 4, "language_steps": 5, "together_steps": 6, "face_steps": 0, "batch": 4, "workers": 2,
    "photo_batch": 3, "photo_clean": 1, "photo_quality": 0.5, "reuse": 2.5, "pool": 7, "first_shard": 9,
    "points_learning_rate": 0.1, "learning_rate": 0.2, "polish_learning_rate": 0.3,
    "photos_learning_rate": 0.4, "together_learning_rate": 0.5, "face_learning_rate": 0.6,
    "final_learning_rate": 0.01, "warmup": 11, "weight_decay": 0.07, "clip": 8.5, "ema": 0.9,
    "teacher_ema": 0.8, "text_every": 12, "text_weight": 1.5, "descriptions": 13, "imagine_weight": 2.5,
    "named_weight": 3.5, "retain_weight": 4.5, "bfloat16": None, "evaluate_every": 14, "save_every": 15,
    "threads": 16, "device": "cuda", "weights": {"shape": 17.5, "photometric": 18.5},
}  # fmt: skip
"""A config as training states of earlier versions store it: every flat key, most at another value than its default."""


@pytest.mark.parametrize("name", ["small", "backbone"])
def test_the_flat_form_of_a_config_is_the_same_config(name: str) -> None:
    flat, today = TrainConfig.load(str(FLAT / f"flat_{name}.yaml")), ROOT / "configs" / f"{name}.yaml"
    assert flat == TrainConfig.load(str(today))
    assert len(flat.changed()) > 10


def test_every_key_of_a_stored_training_state_is_read() -> None:
    assert set(STORED) - {"output", "seed", "weights"} == set(EARLIER_KEYS)
    config = TrainConfig.of(json.loads(json.dumps(STORED)))
    values = config.model_dump(mode="json")
    for key, places in EARLIER_KEYS.items():
        for place in places:
            section, *names = place.split(".")
            value = values[section]
            for name in names:
                value = value[name]
            assert value == STORED[key], place
    assert (config.output, config.seed, config.weights.shape) == ("run", 5, 17.5)
    assert config.steps == 1 + 2 + 3 + 4 + 5 + 6


def test_all_of_todays_settings_had_a_key() -> None:
    """None is left without an earlier key by mistake; those added since would be listed here."""
    places = {place for places in EARLIER_KEYS.values() for place in places} | {"output", "seed"}
    keys = TrainConfig.known_keys()
    leaves = {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)}
    assert {key for key in leaves - places if not key.startswith("weights.")} == set()


def test_one_setting_under_both_names_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"'trunk_steps' is the earlier name of 'stages.trunk.steps'"):
        TrainConfig.of({"output": "run", "trunk_steps": 5, "stages": {"trunk": {"steps": 5}}})
    with pytest.raises(SettingsError, match="'stages' is a section, not 3"):
        TrainConfig.of({"output": "run", "photos_steps": 1, "stages": 3})


def test_an_override_replaces_what_a_flat_file_says() -> None:
    config = TrainConfig.of({"output": "run", "batch": 8, "learning_rate": 0.5}, ["data.batch=16"])
    assert config.data.batch == 16
    assert (config.stages.trunk.learning_rate, config.stages.language.learning_rate) == (0.5, 0.5)
    assert config.stages.trunk.steps == 6000, "what a file leaves out of a stage has the stage's own default"
    with pytest.raises(SettingsError, match=r"nearest one is 'batch', today 'data.batch'"):
        TrainConfig.of({"output": "run"}, ["batch=16"])


def test_a_section_is_no_list_of_photos() -> None:
    flat = TrainConfig.of({"output": "run", "photos": ["a", "b"], "photo_batch": 2})
    today = TrainConfig.of({"output": "run", "photos": {"locations": ["a", "b"], "batch": 2}})
    assert flat == today

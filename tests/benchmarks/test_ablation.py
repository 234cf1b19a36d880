"""The ablation: every variant is a config that `facegpt train` takes, and differences are taken face by face."""

from __future__ import annotations

import numpy as np

from benchmarks.ablation import RECIPE, WHOLE, table, variants
from facegpt.synthetic.parts import PARTS
from facegpt.training.config import TrainConfig


def test_every_variant_is_a_training_config_of_equal_length() -> None:
    configs = {
        name: TrainConfig.of(RECIPE | settings | {"output": "out"})
        for name, settings in variants(100, ["photos"])
    }
    assert next(iter(configs)) == WHOLE
    assert len(configs) == len(PARTS) + 4
    assert {config.steps for config in configs.values()} == {100}
    assert {part for config in configs.values() for part in config.rendering.without} == set(PARTS)
    assert sum(bool(config.stages.photos.steps) for config in configs.values()) == 2


def test_the_table_gives_differences_and_their_own_spread() -> None:
    rng = np.random.default_rng(0)
    whole = rng.normal(5, 2, 100)
    harder = whole + 0.5 + 0.01 * rng.normal(size=100)
    rows = table(
        {WHOLE: {"set": whole, "few": whole[:3]}, "without hair": {"set": harder, "few": whole[:3]}}
    ).splitlines()
    assert rows[0] == "| trained | set |"
    assert rows[2] == f"| {WHOLE} | {whole.mean():.2f} |"
    assert rows[3] == "| without hair | +0.50 ± 0.00 |"

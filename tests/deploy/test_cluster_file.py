"""ray_cluster.yaml, checked by Ray's own validator (no cluster is started)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config


@pytest.fixture
def cluster(repository: Path) -> dict[str, Any]:
    loaded = yaml.safe_load((repository / "ray_cluster.yaml").read_text("utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def test_it_is_valid(cluster: dict[str, Any]) -> None:
    validate_config(prepare_config(copy.deepcopy(cluster)))


def test_a_slip_of_the_pen_would_be_noticed(cluster: dict[str, Any]) -> None:
    cluster["max_worker"] = cluster.pop("max_workers")
    with pytest.raises(ValidationError):
        validate_config(prepare_config(cluster))


def test_it_has_a_head_that_stays_and_workers_that_come_and_go(cluster: dict[str, Any]) -> None:
    types = cluster["available_node_types"]
    assert types[cluster["head_node_type"]]["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in types[cluster["head_node_type"]]["node_config"]
    assert types["gpu-spot"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert types["gpu-spot"]["resources"]["GPU"] == 1
    grow = {name: one for name, one in types.items() if name != cluster["head_node_type"]}
    assert all(one["max_workers"] > one["min_workers"] for one in grow.values())
    assert sum(one["max_workers"] for one in grow.values()) == cluster["max_workers"]


def test_every_node_wants_the_token(cluster: dict[str, Any]) -> None:
    assert cluster["file_mounts"]["/home/ubuntu/.ray/auth_token"]
    for role in ("head", "worker"):
        assert "RAY_AUTH_MODE=token ray start" in cluster[f"{role}_start_ray_commands"][-1]


def test_every_node_installs_the_tested_versions(cluster: dict[str, Any], repository: Path) -> None:
    commands = "\n".join(cluster["setup_commands"])
    assert "-c constraints.txt ." in commands
    assert "torch==2.13.0" in commands
    assert "\ntorch==2.13.0\n" in (repository / "constraints.txt").read_text("utf-8")

"""A run computes in bfloat16 only where its device has instructions for it, unless the config says otherwise."""

from __future__ import annotations

import platform
from typing import Any

import pytest
import torch

from facegpt.training.config import TrainConfig
from facegpt.training.precision import INSTRUCTIONS, autocast, in_bfloat16


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx2": True, "avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_a_cpu_is_asked_for_its_instructions(
    capabilities: dict[str, Any], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert in_bfloat16(TrainConfig(output="run")) is expected
    with autocast(TrainConfig(output="run")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if expected else torch.float32)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_config_has_the_last_word(wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": not wanted})
    config = TrainConfig.of({"output": "run"}, [f"compute.bfloat16={wanted}"])
    assert in_bfloat16(config) is wanted


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the instructions are those of x86")
def test_torch_knows_the_instructions_by_these_names() -> None:
    assert set(INSTRUCTIONS) <= set(torch.cpu.get_capabilities())

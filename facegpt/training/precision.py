"""How many bits a training run computes with."""

from __future__ import annotations

import torch

from facegpt.training.config import TrainConfig

INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
"""Of a CPU, any of which makes bfloat16 faster than float32. Emulated, it is slower by far."""


def in_bfloat16(config: TrainConfig) -> bool:
    """Whether convolutions and matrix products are computed in bfloat16: as the config says, or, where it is silent,
    if its device has instructions for it.
    """
    if config.bfloat16 is not None:
        return config.bfloat16
    if torch.device(config.device).type == "cpu":
        return any(torch.cpu.get_capabilities().get(name, False) for name in INSTRUCTIONS)
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def autocast(config: TrainConfig) -> torch.autocast:
    """The context of a forward pass."""
    device = torch.device(config.device).type
    return torch.autocast(device, torch.bfloat16, enabled=in_bfloat16(config))

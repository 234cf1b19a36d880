"""The precision of a training run's forward passes: bfloat16 or float32."""

from __future__ import annotations

import torch

from facegpt.training.config import TrainConfig

INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
"""Instructions of a CPU, any of which makes bfloat16 faster than float32. Emulated, it is slower by far."""


def in_bfloat16(config: TrainConfig) -> bool:
    """Tells whether convolutions and matrix products are computed in bfloat16: as the config says, or, where it does
    not, if its device has instructions for it.
    """
    compute = config.compute
    if compute.bfloat16 is not None:
        return compute.bfloat16
    if torch.device(compute.device).type == "cpu":
        return any(torch.cpu.get_capabilities().get(name, False) for name in INSTRUCTIONS)
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def autocast(config: TrainConfig) -> torch.autocast:
    """Makes the context of a forward pass."""
    device = torch.device(config.compute.device).type
    return torch.autocast(device, torch.bfloat16, enabled=in_bfloat16(config))

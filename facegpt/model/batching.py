"""The size of a micro-batch: how many crops fit into the memory of the device at hand."""

from __future__ import annotations

from collections.abc import Callable

import torch

ON_CPU = 32
MOST = 512
PROBES = (1, 9)


def crops_that_fit(each: float, budget: float) -> int:
    """Finds the largest power of two, 1 to `MOST`, of crops of `each` bytes that fit into `budget` bytes."""
    count = 1
    while 2 * count <= MOST and 2 * count * each <= budget:
        count *= 2
    return count


def bytes_per_crop(peak: Callable[[int], int]) -> float:
    """Computes the bytes of one more crop from the `peak` memory of batches of two sizes; at least one byte."""
    few, many = PROBES
    return max(1.0, (peak(many) - peak(few)) / (many - few))


def batch_for(device: str, run: Callable[[int], object], share: float) -> int:
    """Measures how many crops `device` takes at a time, if `run(n)` runs n of them and may use `share` of its memory.

    On a GPU two batches are run, which warms it up as well. The share is one of all its memory, not of what is free at
    the moment: equal GPUs then form equal micro-batches, on whose size the last digits of results depend.
    """
    if torch.device(device).type != "cuda":
        return ON_CPU

    def peak(count: int) -> int:
        run(count)  # the first run of a size loads kernels and plans, which are no crop's
        torch.cuda.reset_peak_memory_stats(device)
        run(count)
        return int(torch.cuda.max_memory_allocated(device))

    each = bytes_per_crop(peak)
    held = torch.cuda.memory_allocated(device)
    return crops_that_fit(each, share * torch.cuda.get_device_properties(device).total_memory - held)

"""How many crops a model takes at a time: by what they cost of a GPU's memory, not by a number that suits one GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch

ON_CPU = 32
MOST = 512
PROBES = (1, 9)


def crops_that_fit(each: float, budget: float) -> int:
    """The largest power of two, 1 to `MOST`, of crops that take `each` bytes and together no more than `budget`."""
    count = 1
    while 2 * count <= MOST and 2 * count * each <= budget:
        count *= 2
    return count


def bytes_per_crop(peak: Callable[[int], int]) -> float:
    """What one more crop costs, from the `peak` memory in bytes of batches of two sizes; at least one byte."""
    few, many = PROBES
    return max(1.0, (peak(many) - peak(few)) / (many - few))


def batch_for(device: str, run: Callable[[int], object], share: float) -> int:
    """How many crops `device` takes at a time, if `run(n)` works on n of them and `share` of its memory may be used.

    On a GPU two batches are tried, which warms it up as well. What counts is all memory that it has, not what is free
    just now: equal GPUs then form equal micro-batches, on whose size the last digits depend.
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

"""Agreement of several processes that train one model, each on batches of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import Parameter


def rank() -> int:
    """Returns the number of this process; 0 where there is but one."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world() -> int:
    """Returns the number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def average_gradients(parameters: Iterable[Parameter]) -> None:
    """Replaces each gradient by its mean over all processes; all at once, since each message has its price.

    A parameter without a gradient in this process counts as 0, so that all processes send the same ones.
    """
    if world() == 1:
        return
    learning = [p for p in parameters if p.requires_grad]
    for dtype in dict.fromkeys(p.dtype for p in learning):
        same = [p for p in learning if p.dtype == dtype]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in same]
        flat = torch.cat([grad.flatten() for grad in grads])
        dist.all_reduce(flat)
        flat /= world()
        start = 0
        for parameter in same:
            parameter.grad = flat[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()


def check_alike(weights: Iterable[Tensor]) -> None:
    """Raises RuntimeError unless all processes hold the same `weights`: then they trained several models, not one."""
    if world() == 1:
        return
    sums = torch.stack([weight.detach().double().sum() for weight in weights])
    least, most = sums.clone(), sums.clone()
    dist.all_reduce(least, dist.ReduceOp.MIN)
    dist.all_reduce(most, dist.ReduceOp.MAX)
    if not torch.equal(least, most):
        raise RuntimeError("the training processes hold different weights")


def share_buffers(model: nn.Module) -> None:
    """Replaces the buffers of every process by the first one's: each has measured batch norms of its own."""
    if world() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


@contextmanager
def first_goes_first() -> Iterator[None]:
    """Runs a block in the first process before the others: they find the files that it wrote."""
    if world() > 1 and rank():
        dist.barrier()
    yield
    if world() > 1 and not rank():
        dist.barrier()

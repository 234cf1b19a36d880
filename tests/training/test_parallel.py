"""Two processes that train one model agree on gradients, buffers and order."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from facegpt.training.parallel import (
    average_gradients,
    check_alike,
    first_goes_first,
    rank,
    share_buffers,
    world,
)


def part(number: int, folder: str) -> None:
    """What each of the two does; it writes down what it saw."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=number, world_size=2)
    seen: dict[str, object] = {"rank": rank(), "world": world()}
    with first_goes_first():
        note = Path(folder) / "first"
        seen["found"] = note.exists()
        note.touch()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    model[2].weight.requires_grad_(False)
    model[0](torch.full((4, 3), float(number + 1))).sum().backward()
    average_gradients(model.parameters())
    seen["gradient"] = model[0].weight.grad.tolist()
    seen["absent"] = model[1].weight.grad.tolist()
    seen["frozen"] = model[2].weight.grad is None
    model[1].running_mean.fill_(float(number + 5))
    share_buffers(model)
    seen["mean"] = model[1].running_mean.tolist()
    check_alike(model.parameters())
    with torch.no_grad():
        model[0].weight += 0.1 * number
    try:
        check_alike(model.parameters())
    except RuntimeError as error:
        seen["told"] = str(error)
    (Path(folder) / f"{number}.json").write_text(json.dumps(seen))
    dist.destroy_process_group()


def test_two_processes_agree(tmp_path: Path) -> None:
    mp.spawn(part, args=(str(tmp_path),), nprocs=2)
    first, second = (json.loads((tmp_path / f"{k}.json").read_text()) for k in range(2))
    assert (first["rank"], second["rank"], first["world"]) == (0, 1, 2)
    assert not first["found"] and second["found"]
    # 4 rows of ones give 4, of twos 8.
    assert first["gradient"] == second["gradient"] == [[6.0] * 3] * 2
    assert first["absent"] == [0.0, 0.0] and first["frozen"]
    assert first["mean"] == second["mean"] == [5.0, 5.0]
    assert first["told"] == second["told"] == "the training processes hold different weights"


def test_one_process_is_left_alone() -> None:
    model = nn.Linear(2, 1)
    model(torch.ones(1, 2)).sum().backward()
    before = model.weight.grad.clone()
    average_gradients(model.parameters())
    check_alike(model.parameters())
    assert torch.equal(model.weight.grad, before) and (rank(), world()) == (0, 1)

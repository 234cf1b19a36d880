"""Milliseconds per face of the differentiable renderer, on the bundled face model.

    python -m benchmarks.rendering [--device cuda] [--threads 1] [--json rendering.json]

Forward renders without gradients; forward and backward goes from theta to a picture to the gradients of all
of theta. Each figure is the median over the repeats with the 10th and 90th percentile.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import torch

from facegpt import morphable
from facegpt.rendering import Camera, rasterize, render

SIZES = (112, 224)
BATCHES = (1, 4, 16, 64)


def random_theta(model: morphable.FaceModel, batch: int, device: torch.device) -> morphable.Theta:
    """Faces in the middle of the crop, turned by 30 degrees or so."""
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    lighting = 0.1 * normal(batch, 9, 3)
    lighting[:, 0] += 2.5
    theta = morphable.Theta(
        shape=normal(batch, model.n_shape),
        expression=0.2 * torch.rand(batch, model.n_expression, generator=generator),
        albedo=normal(batch, model.n_albedo),
        lighting=lighting.flatten(1),
        rotation_vector=normal(batch, 3) * torch.tensor([0.2, 0.5, 0.1]),
        translation=torch.tensor([0.0, 0.0, -0.9]).repeat(batch, 1),
    )
    return theta.to(device)


def time_per_face(
    run: Callable[[], None], batch: int, repeats: int, device: torch.device
) -> dict[str, float]:
    """Median, 10th and 90th percentile of the milliseconds that ``run`` takes per face."""
    times = []
    for repeat in range(repeats + 2):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if repeat >= 2:  # the first two warm the allocator up
            times.append((time.perf_counter() - start) * 1e3 / batch)
    deciles = statistics.quantiles(times, n=10, method="inclusive")
    return {"median": statistics.median(times), "p10": deciles[0], "p90": deciles[-1]}


def measure(batch: int, size: int, repeats: int, device: torch.device) -> dict[str, object]:
    """All figures of one batch and picture size."""
    model = morphable.bundled()
    if device.type != "cpu":
        model = copy.deepcopy(model).to(device)  # the bundled one is shared
    theta = random_theta(model, batch, device)
    screen = Camera(size).screen(render(model, theta, size).vertices_camera)
    tracked = theta.map(lambda tensor: tensor.clone().requires_grad_())
    leaves = [getattr(tracked, field.name) for field in fields(tracked)]

    def raster() -> None:
        with torch.no_grad():
            rasterize(screen, model.triangles, size)

    def forward() -> None:
        with torch.no_grad():
            render(model, theta, size)

    def both() -> None:
        torch.autograd.grad(render(model, tracked, size).image.square().sum(), leaves)

    runs = {"rasterize": raster, "forward": forward, "forward_backward": both}
    figures = {name: time_per_face(run, batch, repeats, device) for name, run in runs.items()}
    return {"batch": batch, "size": size, **figures}


def processor() -> str:
    """The processor's name as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: 1)")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    model = morphable.bundled()
    machine = {
        "processor": processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cores": os.cpu_count(),
        "threads": options.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "face_model": model.id,
        "vertices": model.n_vertices,
        "triangles": model.triangles.shape[0],
        "repeats": options.repeats,
        "load_before": round(os.getloadavg()[0], 1),
    }
    print(" ".join(f"{key}={value}" for key, value in machine.items()))
    print("ms per face: median (10th-90th percentile)")
    print("| size | batch | rasterize | render, forward | render, forward + backward |")
    print("|---|---|---|---|---|")
    results = []
    for size in SIZES:
        for batch in BATCHES:
            row = measure(batch, size, options.repeats, device)
            results.append(row)
            cells = [row[name] for name in ("rasterize", "forward", "forward_backward")]
            print(f"| {size} | {batch} | " + " | ".join(map(show, cells)) + " |", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")


def show(figure: object) -> str:
    """One cell of the table."""
    assert isinstance(figure, dict)
    return f"{figure['median']:.2f} ({figure['p10']:.2f}-{figure['p90']:.2f})"


if __name__ == "__main__":
    main()

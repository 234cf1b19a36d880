"""A batched z-buffer in plain PyTorch: one code for CPU and CUDA, deterministic on both.

Which triangle a pixel sees is decided without gradients, by scan conversion: a triangle covers, in each pixel
row, the pixels from the left edge's crossing (included) to the right edge's (excluded). An edge's crossing is
always computed from its upper vertex, so that two triangles with a shared edge compute the same number and
each pixel centre on it belongs to exactly one of them. The barycentric coordinates of the visible triangle
are then computed once more, differentiably.

Not differentiable: visibility. A pixel at a silhouette does not know that the edge could move over it, so
gradients to pose and shape come from the interior (and, in training, from landmarks), not from the outline.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

NEAR = 0.01
"""Triangles with a vertex nearer to the camera than this (metres) are dropped, not clipped."""

_MIN_AREA = 2.0**-20  # twice the area in px^2, below it a triangle has no usable barycentric coordinates
_LAST = 0x7FFFFFFF  # the greatest span index that fits beside the depth
_CHUNK = 1 << 22  # pixels tested at a time: bounds memory when many large triangles lie behind each other


@dataclass(frozen=True)
class Fragments:
    """The visible triangles of a batch of pictures, at P covered pixels in ascending order of ``pixel``.

    ``pixel`` (P,) int64 indexes the flattened (B, H, W) pixels, ``face`` (P,) int64 the triangles, ``vertex``
    (P, 3) int64 the flattened (B, V) vertices of that triangle, and ``weights`` (P, 3) are the
    perspective-correct barycentric coordinates (they sum to 1; differentiable), ``depth_values`` (P,) metres.
    The dense views ``triangle``, ``barycentric``, ``depth`` and ``mask`` are made when asked for.
    """

    pixel: Tensor
    face: Tensor
    vertex: Tensor
    weights: Tensor
    depth_values: Tensor
    batch: int
    size: int

    @property
    def mask(self) -> Tensor:
        """(B, H, W) bool, true where a triangle is seen."""
        mask = torch.zeros(self.batch * self.size * self.size, dtype=torch.bool, device=self.pixel.device)
        mask[self.pixel] = True
        return mask.view(self.batch, self.size, self.size)

    @property
    def triangle(self) -> Tensor:
        """(B, H, W) int64, the visible triangle, -1 in the background."""
        dense = self.face.new_full((self.batch * self.size * self.size,), -1)
        dense[self.pixel] = self.face
        return dense.view(self.batch, self.size, self.size)

    @property
    def barycentric(self) -> Tensor:
        """(B, H, W, 3) perspective-correct, differentiable; 0 in the background."""
        return self.dense(self.weights)

    @property
    def depth(self) -> Tensor:
        """(B, H, W) metres in front of the camera, differentiable; 0 in the background."""
        return self.dense(self.depth_values.unsqueeze(-1)).squeeze(-1)

    def dense(self, values: Tensor) -> Tensor:
        """Spreads per-fragment values (P, C) over the picture: (B, H, W, C), zeros in the background."""
        canvas = values.new_zeros((self.batch * self.size * self.size, values.shape[-1]))
        return canvas.index_copy(0, self.pixel, values).view(self.batch, self.size, self.size, -1)


def rasterize(vertices_screen: Tensor, triangles: Tensor, size: int, *, near: float = NEAR) -> Fragments:
    """Finds the triangle that each pixel sees, and where in it.

    Args:
        vertices_screen: (B, V, 3) float32 or float64: u, v in pixels (v downwards, pixel centres at integers)
            and depth in metres in front of the camera. See ``Camera.screen``.
        triangles: (F, 3) int64, counter-clockwise as seen from outside (with y up); back faces are culled.
        size: side of the square picture in pixels.
        near: triangles with a vertex of smaller depth are dropped.

    Returns:
        Fragments; equal depths go to the lower triangle index, on every device.

    Raises:
        ValueError: on a wrong shape or a size below 1.
    """
    if vertices_screen.ndim != 3 or vertices_screen.shape[-1] != 3:
        raise ValueError(f"vertices_screen is {tuple(vertices_screen.shape)}, expected (B, V, 3)")
    if triangles.ndim != 2 or triangles.shape[-1] != 3:
        raise ValueError(f"triangles is {tuple(triangles.shape)}, expected (F, 3)")
    if size < 1:
        raise ValueError(f"size is {size}, a picture has at least one pixel")
    batch, n_vertices, _ = vertices_screen.shape
    with torch.no_grad():
        pixel, face = _visible(vertices_screen.detach(), triangles, size, near)
        base = torch.div(pixel, size * size, rounding_mode="floor") * n_vertices
        vertex = triangles[face] + base.unsqueeze(-1)
    weights, depth = _barycentric(vertices_screen, vertex, pixel, size)
    return Fragments(
        pixel=pixel,
        face=face,
        vertex=vertex,
        weights=weights,
        depth_values=depth,
        batch=batch,
        size=size,
    )


def interpolate(fragments: Fragments, attributes: Tensor) -> Tensor:
    """Interpolates per-vertex attributes at the covered pixels, perspective-correctly.

    Args:
        fragments: of a batch of B pictures.
        attributes: (B, V, C), or (V, C) for attributes shared by the batch.

    Returns:
        (P, C), one row per fragment; ``fragments.dense`` spreads them over the picture. Differentiable with
        respect to the attributes and, through the barycentric coordinates, to the vertices.
    """
    index = fragments.vertex
    if attributes.ndim == 2:
        index = index % attributes.shape[0]
    flat = attributes.reshape(-1, attributes.shape[-1])
    a, b, c = (flat.index_select(0, corner) for corner in index.t().contiguous())
    u, v, w = fragments.weights.to(flat.dtype).unsqueeze(-1).unbind(dim=1)
    return a * u + b * v + c * w


def _visible(screen: Tensor, triangles: Tensor, size: int, near: float) -> tuple[Tensor, Tensor]:
    """Finds the covered pixels (P,), flattened and ascending, and their visible triangles (P,)."""
    batch = screen.shape[0]
    first, count, slope, value, face = _spans(screen, triangles, size, near)
    # The z-buffer holds (bits of the inverse depth as float32, which order like the positive numbers) << 32
    # and, below, the span counted from the far end, so that the greatest key is the nearest triangle of
    # lowest index.
    buffer = torch.full((batch * size * size,), -1, dtype=torch.int64, device=screen.device)
    for part in _chunks(count):
        total = count[part]
        span = torch.repeat_interleave(total)
        step = torch.arange(span.shape[0], device=span.device) - (total.cumsum(0) - total).index_select(
            0, span
        )
        span += part.start
        inverse = slope.index_select(0, span).mul_(step).add_(value.index_select(0, span))
        key = (inverse.clamp_(min=0).float().view(torch.int32).long() << 32).add_(_LAST - span)
        buffer.scatter_reduce_(0, step.add_(first.index_select(0, span)), key, "amax")
    covered = (buffer >= 0).nonzero().squeeze(1)
    return covered, face.index_select(0, _LAST - (buffer.index_select(0, covered) & _LAST))


def _spans(
    screen: Tensor, triangles: Tensor, size: int, near: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Lists the runs of pixels that each front-facing triangle covers in a pixel row, by ascending triangle.

    Returns:
        For each span: its first pixel in the flattened pictures, its number of pixels (>= 1), the inverse
        depth's slope along the row and value at the first pixel (float64), its triangle.
    """
    batch = screen.shape[0]
    # Vertex-major: gathering a triangle's corner copies one contiguous row for the whole batch.
    x_all, y_all, depth_all = screen.permute(2, 1, 0).contiguous().double()
    corners = triangles.t().contiguous()
    xa, xb, xc = (x_all.index_select(0, corner) for corner in corners)
    ya, yb, yc = (y_all.index_select(0, corner) for corner in corners)
    area = (yb - ya) * (xc - xa) - (xb - xa) * (yc - ya)  # > 0: counter-clockwise with y up
    top = torch.minimum(torch.minimum(ya, yb), yc).ceil_().clamp_(min=0)
    rows = torch.maximum(torch.maximum(ya, yb), yc).ceil_().clamp_(max=size).sub_(top)
    keep = (area > _MIN_AREA) & (rows > 0)
    far_enough = depth_all >= near
    if not bool(far_enough.all()):
        for corner in corners:
            keep &= far_enough[corner]
    kept = keep.view(-1).nonzero().squeeze(1)
    face = torch.div(kept, batch, rounding_mode="floor")
    image = kept - face * batch

    def take(plane: Tensor) -> Tensor:
        return plane.view(-1).index_select(0, kept)

    xa, xb, xc, ya, yb, yc, area, top = map(take, (xa, xb, xc, ya, yb, yc, area, top))
    rows = take(rows).long()
    wa, wb, wc = (
        depth_all.view(-1)[corner.index_select(0, face) * batch + image].reciprocal_() for corner in corners
    )
    gx, gy, origin = _depth_plane((xa, xb, xc), (ya, yb, yc), (wa, wb, wc), area)
    (xa, ya), (xb, yb) = _by_height(xa, ya, xb, yb)
    (xa, ya), (xc, yc) = _by_height(xa, ya, xc, yc)
    (xb, yb), (xc, yc) = _by_height(xb, yb, xc, yc)
    long, upper, lower = (xc - xa) / (yc - ya), (xb - xa) / (yb - ya), (xc - xb) / (yc - yb)
    bend_right = (xb - xa) * (yc - ya) > (xc - xa) * (yb - ya)

    row = torch.repeat_interleave(rows)
    y = torch.arange(row.shape[0], device=row.device) - (rows.cumsum(0) - rows - top.long()).index_select(
        0, row
    )
    xa, ya, xb, yb = (plane.index_select(0, row) for plane in (xa, ya, xb, yb))
    below = y - ya
    long_end = (xa + below * long.index_select(0, row)).ceil_()
    upper, lower = upper.index_select(0, row), lower.index_select(0, row)
    bent_end = torch.where(y < yb, xa + below * upper, xb + (y - yb) * lower).ceil_()
    right = bend_right.index_select(0, row)
    begin = torch.where(right, long_end, bent_end).clamp_(min=0)
    count = torch.where(right, bent_end, long_end).clamp_(max=size).sub_(begin)
    used = (count > 0).nonzero().squeeze(1)
    row, y, begin = row.index_select(0, used), y.index_select(0, used), begin.index_select(0, used)
    slope = gx.index_select(0, row)
    value = origin.index_select(0, row) + slope * begin + gy.index_select(0, row) * y
    first = image.index_select(0, row) * (size * size) + y * size + begin.long()
    return first, count.index_select(0, used).long(), slope, value, face.index_select(0, row)


def _depth_plane(
    x: tuple[Tensor, ...], y: tuple[Tensor, ...], w: tuple[Tensor, ...], area: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Computes slopes in u and v and the value at the origin of the inverse depth, which is linear on the screen."""
    (xa, xb, xc), (ya, yb, yc), (wa, wb, wc) = x, y, w
    gx = ((wc - wa) * (yb - ya) - (wb - wa) * (yc - ya)) / area
    gy = ((wb - wa) * (xc - xa) - (wc - wa) * (xb - xa)) / area
    return gx, gy, wa - gx * xa - gy * ya


def _by_height(
    xa: Tensor, ya: Tensor, xb: Tensor, yb: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Orders two corners by v, the upper one first."""
    swap = yb < ya
    return (
        (torch.where(swap, xb, xa), torch.minimum(ya, yb)),
        (torch.where(swap, xa, xb), torch.maximum(ya, yb)),
    )


def _chunks(count: Tensor) -> list[slice]:
    """Cuts spans into runs of at most about ``_CHUNK`` pixels, so that memory stays bounded."""
    n = count.shape[0]
    ends = count.cumsum(0)
    total = int(ends[-1]) if n else 0
    if total <= _CHUNK:
        return [slice(0, n)] if n else []
    targets = torch.arange(1, -(-total // _CHUNK), device=count.device) * _CHUNK
    cuts = sorted({0, *torch.searchsorted(ends, targets).add_(1).tolist(), n})
    return [slice(begin, end) for begin, end in pairwise(cuts)]


def _barycentric(screen: Tensor, vertex: Tensor, pixel: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Computes perspective-correct weights (P, 3) and depth (P,) at the pixel centres, differentiable."""
    planes = screen.reshape(-1, 3).t().contiguous().unbind(0)
    ids = vertex.t().contiguous().unbind(0)
    # In float64: the edge functions of a sliver are small differences of large products, and one zero sum
    # would spread nan through the whole backward pass.
    inside = pixel % (size * size)
    v = torch.div(inside, size, rounding_mode="floor")
    u = inside - v * size
    xs = [planes[0].index_select(0, i).double() - u for i in ids]
    ys = [planes[1].index_select(0, i).double() - v for i in ids]
    edges = [ys[q] * xs[p] - xs[q] * ys[p] for p, q in ((1, 2), (2, 0), (0, 1))]
    scaled = [edge / planes[2].index_select(0, i).double() for edge, i in zip(edges, ids, strict=True)]
    inverse = (scaled[0] + scaled[1] + scaled[2]).reciprocal()
    depth = (edges[0] + edges[1] + edges[2]) * inverse
    return torch.stack([part * inverse for part in scaled], dim=1).to(screen.dtype), depth.to(screen.dtype)

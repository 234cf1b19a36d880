"""Camera, rasteriser and spherical-harmonics shading, in plain PyTorch: one code for CPU and CUDA."""

from facegpt.rendering.camera import FOCAL_MULTIPLIER, Camera, to_camera
from facegpt.rendering.rasterizer import Fragments, interpolate, rasterize
from facegpt.rendering.renderer import render
from facegpt.rendering.rotations import (
    axis_angle_to_matrix,
    euler_to_matrix,
    matrix_to_axis_angle,
    matrix_to_euler,
)
from facegpt.rendering.shading import (
    LUMINANCE,
    fit_light,
    linear_to_srgb,
    sh_basis,
    shade,
    srgb_to_linear,
    vertex_normals,
)

__all__ = [
    "FOCAL_MULTIPLIER",
    "LUMINANCE",
    "Camera",
    "Fragments",
    "axis_angle_to_matrix",
    "euler_to_matrix",
    "fit_light",
    "interpolate",
    "linear_to_srgb",
    "matrix_to_axis_angle",
    "matrix_to_euler",
    "rasterize",
    "render",
    "sh_basis",
    "shade",
    "srgb_to_linear",
    "to_camera",
    "vertex_normals",
]

"""Weights and their licences: what is known of everything that can be loaded, and what a run uses."""

from pipeline.annotate.weights.registry import REGISTRY, Kind, Weight
from pipeline.annotate.weights.used import UsedWeight, require_commercial

__all__ = ["REGISTRY", "Kind", "UsedWeight", "Weight", "require_commercial"]

"""Face detectors side by side: `python -m benchmarks.detectors`."""

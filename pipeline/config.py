"""The one configuration of a run: typed, validated, printed and stored with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from facegpt.photo.config import DecodeConfig, DetectorConfig
from facegpt.settings import Configuration, Name, Positive, Section, SettingsError
from pipeline.errors import UsageError


class ModelConfig(Section):
    """FaceGPT.

    `path`: a folder, `bundled`, or `"null"`, which says the mean face of everything (a dry run). `device`: auto is a
    GPU if there is one. `micro_batch`: crops that it takes at a time; absent, what a GPU's memory holds, 32 on the CPU.
    `face_model`: the one that the model was trained on, `bundled` or a .safetensors of `facegpt import-face-model`.
    """

    path: Name = "bundled"
    face_model: Name = "bundled"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    micro_batch: Positive | None = None


class OutputConfig(Section):
    """`meshes`: write a GLB per face."""

    meshes: bool = True


class LicenceConfig(Section):
    """`commercial_only`: refuse to begin with weights that are not known to permit commercial use."""

    commercial_only: bool = False


class ShardConfig(Section):
    """Images per shard are images listed so far / (8 * workers), kept between `min_images` and `max_images`."""

    min_images: Positive = 16
    max_images: Positive = 1000


class WorkerConfig(Section):
    """Worker processes per stage (absent: as many as the machine suggests), `fetch_threads` for each of those that
    detect, and `image_seconds`: when the work on one image is stopped, and the image fails.

    Without `detect` and `commit`, and with the model on the CPU, each annotate worker does all steps of its shards.
    `engine`: `ray`, `processes` of this machine alone, or auto: Ray, unless the run is small and joins no cluster.

    `annotate_per_gpu`: how many models share a GPU; with two, one computes while the other writes down what it said,
    and the GPU holds the weights twice.
    `cpus`: what each worker reserves; absent, the CPUs that are there are shared out. On a cluster that grows by
    itself, say it together with the workers of each stage: what finds no room is what makes it grow.
    """

    engine: Literal["auto", "processes", "ray"] = "auto"
    detect: Positive | None = None
    annotate: Positive | None = None
    annotate_per_gpu: Positive = 1
    commit: Positive | None = None
    cpus: Annotated[float, Field(gt=0)] | None = None
    fetch_threads: Positive = 8
    image_seconds: Annotated[float, Field(gt=0)] = 300.0


class RunConfig(Configuration):
    """Everything that a run can be told. Sections decode, detector, model and output decide what the rows say."""

    words: ClassVar[tuple[str, ...]] = ("detector.name", "model.path")

    decode: DecodeConfig = DecodeConfig()
    detector: DetectorConfig = DetectorConfig()
    model: ModelConfig = ModelConfig()
    output: OutputConfig = OutputConfig()
    licences: LicenceConfig = LicenceConfig()
    shards: ShardConfig = ShardConfig()
    workers: WorkerConfig = WorkerConfig()

    def deciding(self) -> dict[str, Any]:
        """Returns the settings that change rows and enter the fingerprint as they are; detector and model enter by
        content.
        """
        return self.model_dump(mode="json", include={"decode", "output"})


def load_config(path: str | None = None, overrides: Sequence[str] | None = None) -> RunConfig:
    """Reads a YAML file, then applies `a.b=value` overrides (the values are YAML as well).

    Raises:
        UsageError: the file cannot be read, a key is unknown (the message names the nearest), or a value does not fit.
    """
    try:
        return RunConfig.load(path, overrides or [])
    except SettingsError as error:
        raise UsageError(str(error)) from None


def config_of(values: Mapping[str, Any], overrides: Sequence[str] | None = None) -> RunConfig:
    """Builds the configuration of sections, such as run.json keeps, after `a.b=value` overrides; raises UsageError."""
    try:
        return RunConfig.of(values, overrides or [])
    except SettingsError as error:
        raise UsageError(str(error)) from None

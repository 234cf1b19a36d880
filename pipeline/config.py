"""The one configuration of a run: typed, validated, printed and stored with it."""

from __future__ import annotations

import difflib
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError

from facegpt.photo.config import NULL, DecodeConfig, DetectorConfig, Name, Positive, Section
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
    """Worker processes per stage (absent: as many as the machine suggests), `fetch_threads` per detect worker, and
    `image_seconds`: when the work on one image is stopped, and the image fails.

    `annotate_per_gpu`: how many models share a GPU; with two, one computes while the other writes down what it said,
    and the GPU holds the weights twice.
    `cpus`: what each worker reserves; absent, the CPUs that are there are shared out. On a cluster that grows by
    itself, say it together with the workers of each stage: what finds no room is what makes it grow.
    """

    detect: Positive | None = None
    annotate: Positive | None = None
    annotate_per_gpu: Positive = 1
    commit: Positive | None = None
    cpus: Annotated[float, Field(gt=0)] | None = None
    fetch_threads: Positive = 8
    image_seconds: Annotated[float, Field(gt=0)] = 300.0


class RunConfig(Section):
    """Everything that a run can be told. Sections decode, detector, model and output decide what the rows say."""

    decode: DecodeConfig = DecodeConfig()
    detector: DetectorConfig = DetectorConfig()
    model: ModelConfig = ModelConfig()
    output: OutputConfig = OutputConfig()
    licences: LicenceConfig = LicenceConfig()
    shards: ShardConfig = ShardConfig()
    workers: WorkerConfig = WorkerConfig()

    def deciding(self) -> dict[str, Any]:
        """The settings that change rows and enter the fingerprint as they are; detector and model enter by content."""
        return self.model_dump(mode="json", include={"decode", "output"})

    def changed(self) -> dict[str, Any]:
        """The settings that differ from their defaults, by dotted key."""
        mine, usual = self.model_dump(mode="json"), RunConfig().model_dump(mode="json")
        return {
            f"{section}.{key}": value
            for section, values in mine.items()
            for key, value in values.items()
            if value != usual[section][key]
        }

    def as_yaml(self) -> str:
        """The whole configuration with its defaults, as YAML that `load_config` reads."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


NAMES = ("detector.name", "model.path")
"""The settings that `null` is a value of."""


def load_config(path: str | None = None, overrides: list[str] | None = None) -> RunConfig:
    """Reads a YAML file, then applies `a.b=value` overrides (the values are YAML as well).

    Raises:
        UsageError: the file cannot be read, a key is unknown (the message names the nearest), or a value does not fit.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"cannot read the config {path}: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UsageError(f"the config {path} is not YAML: {' '.join(str(error).split())}") from None
        if loaded is not None and not isinstance(loaded, dict):
            raise UsageError(
                f"the config {path} must be a mapping of sections, not a {type(loaded).__name__}"
            )
        values = loaded or {}
    return config_of(values, overrides)


def config_of(values: dict[str, Any], overrides: list[str] | None = None) -> RunConfig:
    """The configuration of these sections, such as run.json keeps, after `a.b=value` overrides; raises UsageError."""
    values = deepcopy(values)
    for override in overrides or []:
        _apply(values, override)
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise UsageError(_explain(error)) from None


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise UsageError(f"--set wants KEY=VALUE such as detector.name=dlib, not {override!r}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(f"--set {override}: the value is not YAML") from None
    if value is None and key in NAMES and text.strip() == NULL:
        value = NULL  # typed out on the command line, it is meant
    *sections, last = key.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise UsageError(f"--set {override}: {section!r} is not a section of the configuration")
        values = inner
    values[last] = value


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        location = [str(part) for part in problem["loc"]]
        key = ".".join(location)
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, known_keys(), n=1, cutoff=0) or [""]
            lines.append(f"unknown config key {key!r}; the nearest one is {near[0]!r}")
        else:
            message = problem["msg"][:1].lower() + problem["msg"][1:]
            lines.append(f"config key {key!r}: {message}, not {problem['input']!r}")
    return "; ".join(lines)


def known_keys(section: type[BaseModel] = RunConfig, prefix: str = "") -> list[str]:
    """All keys in dotted form, sections included."""
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += known_keys(field.annotation, f"{prefix}{name}.")
    return keys

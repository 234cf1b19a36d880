"""The whole configuration of a training run, and what its settings ask of each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from facegpt.settings import Configuration
from facegpt.training.config.earlier_keys import EARLIER_KEYS
from facegpt.training.config.sections import (
    DRAWS,
    HELD_OUT,
    SMALL_STAGES,
    ComputeConfig,
    DataConfig,
    LossWeights,
    OptimiserConfig,
    PhotosConfig,
    RenderingConfig,
    SavingConfig,
    StagesConfig,
    StartConfig,
    Text,
    TextConfig,
)


def _refusal(message: str) -> PydanticCustomError:
    return PydanticCustomError("settings_do_not_fit", "{message}", {"message": message})


class TrainConfig(Configuration):
    """Everything that decides a training run. Files of earlier versions, with flat keys, are read as well."""

    title: ClassVar[str] = "training config"
    contents: ClassVar[str] = "settings"
    example: ClassVar[str] = "data.batch=16"
    words: ClassVar[tuple[str, ...]] = ("photos.detector",)
    earlier_keys: ClassVar[Mapping[str, tuple[str, ...]]] = EARLIER_KEYS

    output: Text
    seed: Annotated[int, Field(strict=True, ge=0, le=10**12)] = 0
    start: StartConfig = StartConfig()
    stages: StagesConfig = StagesConfig()
    data: DataConfig = DataConfig()
    rendering: RenderingConfig = RenderingConfig()
    photos: PhotosConfig = PhotosConfig()
    text: TextConfig = TextConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    weights: LossWeights = LossWeights()
    compute: ComputeConfig = ComputeConfig()
    saving: SavingConfig = SavingConfig()

    @property
    def steps(self) -> int:
        """The length of the whole run."""
        return sum(getattr(self.stages, name).steps for name in StagesConfig.model_fields)

    @property
    def steps_per_round(self) -> int:
        """Steps between two changes of the pool of shards."""
        faces = self.data.batch * self.compute.workers
        return max(1, round(self.data.reuse * self.rendering.shard_faces / faces))

    @property
    def shards(self) -> range:
        """Numbers of the shards that the whole run reads, in the order in which it first needs them."""
        first, rounds = self.data.first_shard, -(-self.steps // self.steps_per_round)
        return range(first, first + self.data.pool + rounds)

    @model_validator(mode="before")
    @classmethod
    def _no_small_stages(cls, values: Any) -> Any:
        """Leaves out the stages of the small FaceGPT where a backbone is named, unless the file gives their length."""
        if not isinstance(values, Mapping):
            return values
        start, stages = values.get("start"), values.get("stages", {})
        if not (isinstance(start, Mapping) and start.get("backbone") and isinstance(stages, Mapping)):
            return values
        silent = {name: stages.get(name, {}) for name in SMALL_STAGES}
        silent = {name: {"steps": 0, **stage} for name, stage in silent.items() if isinstance(stage, Mapping)}
        return {**values, "stages": {**stages, **silent}}

    @model_validator(mode="after")
    def _starts_from_one_thing(self) -> Self:
        if not self.start.backbone:
            if self.start.lora_rank:
                raise _refusal("start.lora_rank is for a start.backbone, and there is none")
            return self
        if self.start.initial:
            raise _refusal("start.initial and start.backbone are two things to start from: name one of them")
        for name in SMALL_STAGES:
            if getattr(self.stages, name).steps:
                raise _refusal(
                    f"stages.{name}.steps is for the small FaceGPT; a backbone learns in stages.face.steps"
                )
        if not self.stages.face.steps:
            raise _refusal("a backbone learns in stages.face.steps, and there are none")
        return self

    @model_validator(mode="after")
    def _photos_are_there(self) -> Self:
        if self.stages.photos.steps and not self.photos.locations:
            raise _refusal(
                "there are stages.photos.steps, but no photos.locations: a list of folders, tars or lists of images"
            )
        if self.stages.photos.steps and self.photos.clean > self.photos.batch:
            raise _refusal(
                f"photos.clean is {self.photos.clean}, of a photos.batch of {self.photos.batch}: it may be that at most"
            )
        return self

    @model_validator(mode="after")
    def _batches_can_be_drawn(self) -> Self:
        part = -(-self.data.batch // DRAWS)
        if part > self.rendering.shard_faces:
            raise _refusal(
                f"data.batch {self.data.batch} takes {part} faces of one shard, and rendering.shard_faces is "
                f"{self.rendering.shard_faces}"
            )
        if self.data.batch < 2 and any(getattr(self.stages, name).steps for name in SMALL_STAGES):
            raise _refusal(
                f"data.batch is {self.data.batch}: the batch norms of the small FaceGPT want 2 faces at least"
            )
        if self.shards.stop > HELD_OUT:
            raise _refusal(
                f"the run reads shards {self.shards.start:,} to {self.shards.stop - 1:,}, and those from {HELD_OUT:,} "
                "on are held out: lower data.first_shard or data.pool, or raise data.reuse or rendering.shard_faces"
            )
        return self

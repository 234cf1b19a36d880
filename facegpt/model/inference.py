"""A FaceGPT made ready to annotate many faces: the same answers up to the last digits, in less time on a CPU."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facegpt.model.backbones.lean_llama import LeanCache, LeanLlama, can_be_lean
from facegpt.model.modeling import FaceGptForConditionalGeneration, FaceGptOutput, FaceHead
from facegpt.model.tower.trunk import FaceTrunk, TrunkOutput


@dataclass(frozen=True)
class ReadFaces:
    """B crops that a model has read: theta and log_error as `generate_faces` gives them, the logits (B,V) of the first
    word of each answer, and the key-value cache that the answer goes on from.
    """

    theta: Tensor
    log_error: Tensor
    logits: Tensor
    cache: Any


class Speaker(Protocol):
    """What `generate_faces` asks of a model: `FaceGptForConditionalGeneration` itself, or `InferenceModel`."""

    face_head: FaceHead
    drops_rows_at: float

    def run_trunk(self, pixel_values: Tensor) -> TrunkOutput | None: ...

    def __call__(self, input_ids: Tensor, **inputs: Any) -> Any: ...

    def keep_rows(self, past_key_values: Any, rows: Tensor) -> None: ...


def folded(module: nn.Module) -> Any:
    """Copies a module in evaluation mode, with each batch norm that follows a convolution multiplied into it.

    All other parameters and buffers are those of `module`, not copies.
    """
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    copied = copy.deepcopy(module, shared)
    for parent in list(copied.modules()):
        if not isinstance(parent, nn.Sequential):
            continue
        for index in reversed(range(len(parent) - 1)):
            convolution, norm = parent[index], parent[index + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                fused: Any = fuse_conv_bn_eval(convolution, norm)
                parent[index] = fused.to(memory_format=torch.channels_last)
                del parent[index + 1]
    return copied


class InferenceModel:
    """A model in evaluation mode, to be read and asked, not trained: `model` itself stays as it is.

    A small tower's convolutions take up their batch norms, and a language model that `LeanLlama` can compute is
    computed by it. Of any other part, the model's own code runs.
    """

    def __init__(self, model: FaceGptForConditionalGeneration) -> None:
        self.model, self.face_head = model, model.face_head
        trunk = getattr(getattr(model.backbone.model, "vision_tower", None), "trunk", None)
        self.trunk: FaceTrunk | None = folded(trunk) if isinstance(trunk, FaceTrunk) else None
        language_model: Any = getattr(model.backbone.model, "language_model", None)
        head = model.backbone.lm_head
        lean = self.trunk is not None and model.config.face_sees_image and can_be_lean(language_model, head)
        self.language = LeanLlama(language_model, head) if lean else None
        self.drops_rows_at = model.drops_rows_at if self.language is None else 1.0

    def run_trunk(self, pixel_values: Tensor) -> TrunkOutput | None:
        """Runs the trunk, as `FaceGptForConditionalGeneration.run_trunk`."""
        if self.trunk is None:
            return None
        trunk_output: TrunkOutput = self.trunk(pixel_values.to(self.model.backbone.dtype))
        return trunk_output

    def keep_rows(self, past_key_values: Any, rows: Tensor) -> None:
        """Keeps `rows` (K,) of a cache, row i of them from a place not before i, and drops the others."""
        if isinstance(past_key_values, LeanCache):
            past_key_values.keep_rows(rows)
        else:
            self.model.keep_rows(past_key_values, rows)

    def joined(self, read: Sequence[ReadFaces]) -> ReadFaces:
        """Joins micro-batches that were read, to be answered together; only one, if `language` is None."""
        if len(read) == 1:
            return read[0]
        return ReadFaces(
            theta=torch.cat([one.theta for one in read]),
            log_error=torch.cat([one.log_error for one in read]),
            logits=torch.cat([one.logits for one in read]),
            cache=LeanCache.joined([one.cache for one in read]),
        )

    def __call__(
        self,
        input_ids: Tensor,
        *,
        pixel_values: Tensor | None = None,
        trunk_output: TrunkOutput | None = None,
        past_key_values: Any = None,
        use_cache: bool = True,
        **inputs: Any,
    ) -> FaceGptOutput:
        """Reads ids (B,L) behind those of the cache, as the model does; the face is that of a <FACE> at the end."""
        if self.language is None:
            output: FaceGptOutput = self.model(
                input_ids=input_ids,
                pixel_values=pixel_values,
                trunk_output=trunk_output,
                past_key_values=past_key_values,
                use_cache=use_cache,
                **inputs,
            )
            return output
        if pixel_values is None:
            embedded = self.model.get_input_embeddings()(input_ids)
        else:
            embedded = self.model.embed(input_ids, pixel_values, trunk_output)
        cache = past_key_values or self.language.cache(*input_ids.shape)
        hidden = self.language.read(embedded, cache)
        theta = log_error = rows = None
        if pixel_values is not None:
            rows = torch.arange(len(hidden), device=hidden.device)
            theta, log_error = self.model.face_of(hidden, rows, trunk_output)
        return FaceGptOutput(
            logits=self.language.logits(hidden)[:, None],
            theta=theta,
            log_error=log_error,
            face_rows=rows,
            past_key_values=cache,
        )

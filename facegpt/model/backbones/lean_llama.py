"""A LLaMA that decodes without transformers' calls: weights merged and turned round, a cache written in place.

A small model's step consists of small operations, and much of its time passes between them. Here a layer takes four
matrix products, of weights that lie as the product reads them, and everything constant is multiplied into the weights
beforehand: the gains of the norms, the scale of the attention, and the order of channels in which a rotation by the
position is one complex product (Su et al. 2021, RoFormer, arXiv 2104.09864).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaModel

ROOM = 64
"""How many places a cache has for an answer, and is lengthened by."""


@dataclass
class LeanCache:
    """Keys and values, (2,layers,B,heads,places,d), of which the first `rows` rows and `length` places are in use."""

    kept: Tensor
    rows: int
    length: int = 0

    def with_room(self, count: int) -> None:
        """Makes room for `count` more places."""
        missing = self.length + count - self.kept.shape[-2]
        if missing > 0:
            more = self.kept.new_empty((*self.kept.shape[:-2], max(missing, ROOM), self.kept.shape[-1]))
            self.kept = torch.cat([self.kept, more], -2)

    @classmethod
    def joined(cls, caches: Sequence[LeanCache]) -> LeanCache:
        """Joins the rows of caches of the same length."""
        (length,) = {cache.length for cache in caches}
        first = caches[0].kept
        rows = sum(cache.rows for cache in caches)
        kept = first.new_empty((*first.shape[:2], rows, first.shape[3], length + ROOM, first.shape[-1]))
        parts = kept[..., :length, :].split([cache.rows for cache in caches], 2)
        for part, cache in zip(parts, caches, strict=True):
            part.copy_(cache.kept[:, :, : cache.rows, :, :length])
        return cls(kept, rows, length)

    def keep_rows(self, rows: Tensor) -> None:
        """Moves row `rows[i]` to row i, for K rows of the batch, and drops the others; each row moves down or stays."""
        moved = (rows != torch.arange(len(rows), device=rows.device)).nonzero()[:, 0]
        if len(moved):
            used = self.kept[..., : self.length, :]
            used[:, :, moved] = used[:, :, rows[moved]]
        self.rows = len(rows)


@dataclass(frozen=True)
class _Layer:
    """The weights of a layer, each (inputs,outputs): q, k and v; the attention's output; gate and up; down."""

    attention: Tensor
    attention_output: Tensor
    gate_up: Tensor
    down: Tensor


def can_be_lean(language_model: Any, head: Any) -> bool:
    """Whether `LeanLlama` computes what this language model and its output layer do."""
    if (
        type(language_model) is not LlamaModel
        or type(head) is not nn.Linear
        or getattr(head, "bias", None) is not None
    ):
        return False
    c: Any = language_model.config
    return bool(
        c.hidden_act == "silu"
        and not c.attention_bias
        and not c.mlp_bias
        and c.num_key_value_heads == c.num_attention_heads
        and c.rope_parameters["rope_type"] == "default"
        and language_model.dtype == torch.float32
    )


class LeanLlama:
    """A copy of a `LlamaModel` and its output layer, for inference.

    Raises (when made):
        ValueError: `can_be_lean` is false for them.
    """

    @torch.no_grad()
    def __init__(self, language_model: Any, head: Any) -> None:
        if not can_be_lean(language_model, head):
            raise ValueError("LeanLlama does not compute what this language model does")
        c = language_model.config
        layers = language_model.layers
        self.heads, self.width = int(c.num_attention_heads), int(layers[0].self_attn.head_dim)
        self.epsilon = head.weight.new_tensor(c.rms_norm_eps)
        self.frequencies = language_model.rotary_emb.inv_freq
        self.layers = [self._layer(layer) for layer in layers]
        self.gain: Tensor = language_model.norm.weight.detach()
        self.words: Tensor = head.weight.T.contiguous()

    def _layer(self, layer: Any) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        # Channels i and i + d/2 of a head turn together; side by side they are a complex number.
        paired = torch.arange(self.heads * self.width).view(self.heads, 2, -1).mT.flatten()
        q, k = attention.q_proj.weight[paired] * attention.scaling, attention.k_proj.weight[paired]
        merged = torch.cat([q, k, attention.v_proj.weight]) * layer.input_layernorm.weight
        gate_up = (
            torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]) * layer.post_attention_layernorm.weight
        )
        return _Layer(
            merged.T.contiguous(),
            attention.o_proj.weight.T.contiguous(),
            gate_up.T.contiguous(),
            mlp.down_proj.weight.T.contiguous(),
        )

    def cache(self, rows: int, places: int) -> LeanCache:
        """Makes an empty cache for so many rows, with `ROOM` behind the first places; it grows when it is full."""
        shape = (2, len(self.layers), rows, self.heads, places + ROOM, self.width)
        return LeanCache(self.words.new_empty(shape), rows)

    def read(self, embedded: Tensor, cache: LeanCache) -> Tensor:
        """Reads tokens (B,T,D) behind those of the cache; returns the last one's hidden state (B,D)."""
        (batch, count, _), past = embedded.shape, cache.length
        cache.with_room(count)
        positions = torch.arange(past, past + count, device=embedded.device)
        angles = torch.outer(positions.to(self.frequencies.dtype), self.frequencies)
        turns = torch.polar(torch.ones_like(angles), angles)[:, None, None]
        seen = None
        if count > 1:
            seen = torch.arange(past + count, device=embedded.device) <= positions[:, None]
        x = embedded
        for number, layer in enumerate(self.layers):
            projected = (self._normed(x).flatten(0, 1) @ layer.attention).view(
                batch, count, 3, self.heads, self.width
            )
            q, k, v = self._turned(projected, turns, cache, number)
            if number + 1 == len(self.layers):  # nobody asks what the other tokens become
                x, q, seen = x[:, -1:], q[:, :, -1:], None
            heard = self._heard(q, k, v, seen)
            x = x + (heard.flatten(0, 1) @ layer.attention_output).view_as(x)
            gate, up = (self._normed(x).flatten(0, 1) @ layer.gate_up).chunk(2, -1)
            x = x + ((nn.functional.silu(gate) * up) @ layer.down).view_as(x)
        cache.length = past + count
        return self._normed(x[:, -1]) * self.gain

    def logits(self, hidden: Tensor) -> Tensor:
        """Computes the logits (B,V) of the word behind hidden states (B,D)."""
        return hidden @ self.words

    def _turned(
        self, projected: Tensor, turns: Tensor, cache: LeanCache, number: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Turns q and k (B,T,3,heads,d with v) by their positions, writes k and v into the cache, and returns q
        (B,heads,T,d) and all k and v (B,heads,L,d) so far.
        """
        pairs = torch.view_as_complex(projected[:, :, :2].unflatten(-1, (-1, 2)))
        turned = torch.view_as_real(pairs * turns).flatten(-2)
        kept = cache.kept[:, number, : len(projected), :, : cache.length + projected.shape[1]]
        new = kept[:, :, :, cache.length :]
        new[0].copy_(turned[:, :, 1].transpose(1, 2))
        new[1].copy_(projected[:, :, 2].transpose(1, 2))
        return turned[:, :, 0].transpose(1, 2), kept[0], kept[1]

    @staticmethod
    def _heard(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        """Computes attention (B,T,heads*d) of scaled q (B,heads,T,d) to those of k and v (B,heads,L,d) that each one
        has `seen` (T,L), or to all.
        """
        if seen is None:  # for one query a head, two products take less time than the kernel for many
            heard = torch.matmul(torch.matmul(q, k.mT).softmax(-1), v)
        else:
            heard = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=1.0)
        return heard.transpose(1, 2).flatten(2)

    def _normed(self, x: Tensor) -> Tensor:
        """Divides vectors (...,D) by their root mean square."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x * torch.addcmul(self.epsilon, length, length, value=1 / x.shape[-1]).rsqrt_()

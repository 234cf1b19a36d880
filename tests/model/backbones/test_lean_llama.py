"""A lean LLaMA computes what transformers' does: states, words, and a cache whose rows leave it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from facegpt.model.backbones.lean_llama import ROOM, LeanCache, LeanLlama, can_be_lean


def whole(**settings: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        **{
            "hidden_size": 48,
            "intermediate_size": 40,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "vocab_size": 64,
            "initializer_range": 0.3,
            **settings,
        }
    )
    model: LlamaForCausalLM = LlamaForCausalLM(config)
    for name, weight in model.named_parameters():
        if "norm" in name:
            nn.init.uniform_(weight, 0.5, 1.5)
    module: nn.Module = model
    module.eval()
    return model


def tokens(count: int, batch: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, count, 48, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def test_states_and_words_are_those_of_transformers() -> None:
    """Of a prompt, of single words behind it, and of a question of several tokens behind those, past the room."""
    model = whole()
    lean = LeanLlama(model.model, model.lm_head)
    cache, past = lean.cache(5, 7), None
    for seed, count in enumerate((7, 1, 1, 4, 1, ROOM, 1)):
        read = tokens(count, seed=seed)
        expected = model.model(inputs_embeds=read, past_key_values=past, use_cache=True)
        past = expected.past_key_values
        hidden = lean.read(read, cache)
        torch.testing.assert_close(hidden, expected.last_hidden_state[:, -1], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(lean.logits(hidden), model.lm_head(hidden), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_rows_that_leave_the_cache_do_not_change_the_others() -> None:
    model = whole()
    lean = LeanLlama(model.model, model.lm_head)
    both = [lean.cache(5, 6), lean.cache(5, 6)]
    for cache in both:
        lean.read(tokens(6), cache)
    all_rows, some = both
    following = tokens(1, seed=1)
    rows = torch.tensor([0, 4, 2])
    some.keep_rows(rows)
    expected = lean.read(following, all_rows)[rows]
    torch.testing.assert_close(lean.read(following[rows], some), expected)
    some.keep_rows(torch.tensor([2]))
    expected = lean.read(following, all_rows)[2:3]
    torch.testing.assert_close(lean.read(following[2:3], some), expected)


def test_a_cache_grows_without_losing_what_it_holds() -> None:
    cache = LeanCache(torch.arange(24.0).view(2, 1, 1, 2, 3, 2), rows=1, length=3)
    before = cache.kept.clone()
    cache.with_room(2)
    assert cache.kept.shape[-2] >= 5 and torch.equal(cache.kept[..., :3, :], before)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_key_value_heads": 1},
        {"attention_bias": True},
        {"mlp_bias": True},
        {"hidden_act": "gelu"},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
    ],
)
def test_other_forms_are_left_to_transformers(settings: dict[str, Any]) -> None:
    model = whole(**settings)
    assert not can_be_lean(model.model, model.lm_head)
    with pytest.raises(ValueError, match="does not compute"):
        LeanLlama(model.model, model.lm_head)
    half: nn.Module = whole()
    half.to(torch.bfloat16)
    assert not can_be_lean(half.model, half.lm_head) and not can_be_lean(None, None)

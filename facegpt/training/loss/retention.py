"""Retention of a backbone's abilities: its answers to ordinary questions are held to those from before training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from facegpt.model.modeling import FaceGptForConditionalGeneration
from facegpt.model.processing import FaceProcessor

ORDINARY = (
    "what is the capital of france",
    "write a short sentence about the sea",
    "how many legs does a spider have",
    "explain why the sky is blue",
    "translate good morning into german",
    "name three fruits",
    "what is seven times eight",
    "how do i boil an egg",
    "what does a compiler do",
    "give me a word that rhymes with light",
    "who wrote hamlet",
    "list the days of the week",
)
ANSWER = 16
"""Tokens of each answer that are compared, beside those of the question itself."""


@dataclass(frozen=True)
class _Exchange:
    """A question with its answer (1,L), and the logits (L-1,V) that the backbone had for it before training."""

    ids: Tensor
    logits: Tensor


class Retention:
    """The backbone's answers to `ORDINARY` questions, without a picture, from before training, which is when this is
    made.
    """

    def __init__(self, model: FaceGptForConditionalGeneration, processor: FaceProcessor) -> None:
        module: nn.Module = model
        training = module.training
        module.eval()
        self.exchanges = [_exchange(model, processor, question) for question in ORDINARY]
        module.train(training)

    def loss(self, model: FaceGptForConditionalGeneration, step: int, count: int = 2) -> Tensor:
        """Computes the Kullback-Leibler divergence, in nats a token, of the logits of `model` from those before
        training, for `count` of the questions, others at each step.
        """
        chosen = [self.exchanges[(step * count + k) % len(self.exchanges)] for k in range(count)]
        return torch.stack([_divergence(one, _logits(model, one.ids)) for one in chosen]).mean()


def _divergence(before: _Exchange, logits: Tensor) -> Tensor:
    words = before.logits.shape[-1]
    now = logits[:, :words].float().log_softmax(-1)
    then = before.logits.float().log_softmax(-1)
    return nn.functional.kl_div(now, then, log_target=True, reduction="batchmean")


def _logits(model: FaceGptForConditionalGeneration, ids: Tensor) -> Tensor:
    """Computes the logits (L-1,V) of what follows each of the ids (1,L) but the last."""
    logits: Tensor | None = model(input_ids=ids, labels=ids).logits
    if logits is None:
        raise RuntimeError("a model without logits")
    return logits


@torch.no_grad()
def _exchange(model: FaceGptForConditionalGeneration, processor: FaceProcessor, question: str) -> _Exchange:
    device = next(model.parameters()).device
    # A description without its <FACE> is a question.
    ids = torch.tensor([processor.description(question)[:-1]], device=device)
    output = model(input_ids=ids, use_cache=True)
    for _ in range(ANSWER):
        word = output.logits[:, -1].argmax(-1, keepdim=True)
        ids = torch.cat([ids, word], 1)
        if int(word) in processor.ends:
            break
        output = model(input_ids=word, past_key_values=output.past_key_values, use_cache=True)
    return _Exchange(ids, _logits(model, ids))

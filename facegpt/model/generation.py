"""One prefill, two products: theta from the <FACE> token, then a caption decoded from the same key-value cache."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facegpt.language.captions import SENTENCES, tidy
from facegpt.model.inference import ReadFaces, Speaker
from facegpt.model.processing import FaceProcessor


@dataclass(frozen=True)
class GeneratedFaces:
    """The answers for B crops: theta (B,N) flat, log_error (B,), a text each, and whether each text ended by itself.

    `log_error` estimates the logarithm of the landmark error in per cent of the eye distance: where the model has a
    trunk, it is the mean of the estimates of <FACE> and of the trunk, which err differently.
    """

    theta: Tensor
    log_error: Tensor
    texts: list[str]
    finished: list[bool]


@torch.inference_mode()
def generate_faces(
    model: Speaker,
    processor: FaceProcessor,
    pixel_values: Tensor,
    *,
    question: str | None = None,
    max_new_tokens: int = 64,
) -> GeneratedFaces:
    """Predicts theta of B crops (B,3,W,W) and decodes a caption for each, or the answer to `question`."""
    read = read_faces(model, processor, pixel_values, question)
    texts, finished = answers(model, processor, read, question is None, max_new_tokens)
    return GeneratedFaces(read.theta, read.log_error, texts, finished)


@torch.inference_mode()
def read_faces(
    model: Speaker, processor: FaceProcessor, pixel_values: Tensor, question: str | None = None
) -> ReadFaces:
    """Reads B crops (B,3,W,W) up to their <FACE>, and the `question` behind it."""
    device = pixel_values.device
    prompt = torch.tensor(processor.prompt(), device=device).expand(len(pixel_values), -1)
    inputs = {**processor.image_inputs(pixel_values), **processor.token_types(prompt)}
    trunk_output = model.run_trunk(pixel_values)
    output = model(input_ids=prompt, trunk_output=trunk_output, **inputs, use_cache=True)
    theta, log_error = output.theta, output.log_error
    assert theta is not None and log_error is not None  # the prompt has a <FACE>
    if trunk_output is not None:
        log_error = (log_error + model.face_head.scaled(trunk_output.guess)[1]) / 2
    if question is not None:
        turn = torch.tensor(processor.turn(question), device=device).expand(len(pixel_values), -1)
        output = model(input_ids=turn, past_key_values=output.past_key_values, use_cache=True)
    assert output.logits is not None
    return ReadFaces(theta, log_error, output.logits[:, -1], output.past_key_values)


@torch.inference_mode()
def answers(
    model: Speaker, processor: FaceProcessor, read: ReadFaces, captions: bool, max_new_tokens: int = 64
) -> tuple[list[str], list[bool]]:
    """Decodes the answer of each crop: a text, and whether it ended by itself.

    Greedy decoding of words, never of special tokens, all rows in step, until every row has ended or after
    `max_new_tokens`. A caption has also ended with its last sentence: many are silent, and a model loses count of its
    own full stops. Rows that have ended are left out of the computation as soon as the model can do so cheaply.
    """
    device, batch, cache, logits = read.logits.device, len(read.logits), read.cache, read.logits
    silent = torch.tensor(processor.silent, device=device)
    ends = torch.tensor(processor.ends, device=device)
    tokens = torch.full((batch, max_new_tokens), processor.pad, device=device)
    finished = torch.zeros(batch, dtype=torch.bool, device=device)
    full_stops = torch.tensor(processor.full_stops(), device=device)
    sentences_left = torch.full((batch,), len(SENTENCES), device=device)
    rows = torch.arange(batch, device=device)
    for step in range(max_new_tokens):
        words = logits.index_fill(1, silent, -torch.inf)
        following = words.argmax(-1).masked_fill(finished[rows], processor.pad)
        tokens[rows, step] = following
        finished[rows] |= torch.isin(following, ends)
        if captions:
            sentences_left[rows] -= torch.isin(following, full_stops).long()
            finished |= sentences_left <= 0
        left = ~finished[rows]
        count = int(left.sum())
        if not count:
            break
        if count < len(rows) and count <= model.drops_rows_at * len(rows):
            kept = moved_up(left, count)
            model.keep_rows(cache, kept)
            rows, following = rows[kept], following[kept]
        output = model(input_ids=following[:, None], past_key_values=cache, use_cache=True)
        assert output.logits is not None
        cache, logits = output.past_key_values, output.logits[:, -1]
    texts = [processor.decode(row) for row in tokens.tolist()]
    return [tidy(text) for text in texts] if captions else texts, finished.tolist()


def moved_up(left: Tensor, count: int) -> Tensor:
    """Lists the rows (K,) that a batch keeps, the `count` of them that are true in `left` (B,): those among the first K
    stay in their places, and the others fill the gaps between them.
    """
    places = torch.arange(count, device=left.device)
    gaps = (~left[:count]).nonzero()[:, 0]
    places[gaps] = count + left[count:].nonzero()[:, 0]
    return places

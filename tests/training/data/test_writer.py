"""A batch's text: captions and dialogues, of which only what the model says itself is scored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_backbones import CROP, END, backbone

from facegpt.language.captions import parse
from facegpt.language.dialogues import CHAT, HOW_MUCH, WHICH
from facegpt.model.backbones.join import with_face
from facegpt.model.processing import EOS, FaceProcessor
from facegpt.morphable import bundled
from facegpt.synthetic.sampling import sample_face, stack
from facegpt.training.data.pool import Batch
from facegpt.training.data.writer import ANSWER_WEIGHT, IGNORED, QUESTIONS, DialogueWriter, small_processor

MODEL = bundled()
FACES = 48
REPLIES = {"Yes.", "No.", *(reply for _, reply in CHAT)} | {
    f"{said[0].upper()}{said[1:]}."
    for table in (WHICH, HOW_MUCH)
    for _, answers in table.values()
    for said in answers.values()
}


@pytest.fixture(scope="module")
def batch() -> Batch:
    rng = np.random.default_rng(0)
    theta = stack([sample_face(rng, MODEL) for _ in range(FACES)])
    nothing = torch.zeros(FACES)
    return Batch(torch.zeros(FACES, 3, 4, 4), theta, torch.zeros(FACES, 68, 2), nothing, nothing)


def spoken(writer: DialogueWriter, batch: Batch) -> list[list[tuple[list[int], set[float]]]]:
    """Of each row what is scored: the tokens of every turn, and their weights."""
    text = writer(batch, 0)
    assert text.labels is not None and text.weights is not None
    rows = []
    for ids, labels, weights in zip(text.ids, text.labels, text.weights, strict=True):
        scored = (labels != IGNORED).int()
        assert torch.equal(labels[scored == 1], ids[scored == 1])
        edges = torch.diff(scored, prepend=torch.zeros(1), append=torch.zeros(1))
        starts, ends = ((edges == sign).nonzero()[:, 0].tolist() for sign in (1, -1))
        turns = zip(starts, ends, strict=True)
        rows.append([(ids[a:b].tolist(), set(weights[a:b].tolist())) for a, b in turns])
    return rows


def test_a_dialogue_asks_several_things_and_only_what_is_replied_is_scored(batch: Batch) -> None:
    processor = small_processor(MODEL, image_tokens=2, vocabulary=1024)
    rows = spoken(DialogueWriter(processor, MODEL, 0, text_every=1), batch)
    turns = [turn for row in rows for turn in row]
    assert all(said[-1] == EOS and EOS not in said[:-1] for said, _ in turns)
    dialogues = [row for row in rows if processor.decode(row[0][0][:-1]) in REPLIES]
    assert 0.3 * FACES < len(dialogues) < 0.8 * FACES
    assert max(map(len, dialogues)) == QUESTIONS
    several = [turn for row in dialogues if len(row) > 1 for turn in row]
    assert {processor.decode(said[:-1]) for said, _ in several} <= REPLIES
    assert all(weights == {ANSWER_WEIGHT} for _, weights in several)
    captions = [row for row in rows if row not in dialogues]
    assert all(len(row) == 1 and processor.decode(row[0][0]).startswith("a ") for row in captions)


def test_captions_keep_to_what_the_model_takes_a_face_for(batch: Batch) -> None:
    processor = small_processor(MODEL, image_tokens=2, vocabulary=1024)
    writer = DialogueWriter(processor, MODEL, 0, text_every=1)
    mouth = MODEL.expression_names.index("jawOpen")
    expression = torch.zeros_like(batch.theta.expression)
    expression[:, mouth] = 1.0
    own = replace(batch.theta, expression=expression)
    text = writer(batch, 0, own)
    said = (
        [processor.decode(row[row != IGNORED].tolist()) for row in text.labels]
        if text.labels is not None
        else []
    )
    captions = [parse(one) for one in said if one.startswith(("a face", "a head"))]
    assert len(captions) > 0.2 * FACES
    mouths = {one["mouth"] for one in captions if "mouth" in one}
    assert mouths <= {"wide open"}
    assert not any("smile" in one or "brows" in one for one in captions)


def test_turns_of_a_backbone_end_once_as_its_template_ends_them(batch: Batch) -> None:
    model, processor = backbone("qwen2_5_vl")
    words: FaceProcessor = with_face(model, processor, MODEL, crop_size=CROP, instruction="describe")[1]
    text = DialogueWriter(words, MODEL, 0, text_every=1)(batch, 0)
    said = [words.tokenizer.decode(row) for row in text.ids]
    again = [one for one in said if one.count("<|im_start|>assistant") > 2]
    assert again
    for one in again:
        for turn in one.split("<|im_start|>user")[2:-1]:
            assert turn.count(END) == 2, one
            assert END + END not in turn

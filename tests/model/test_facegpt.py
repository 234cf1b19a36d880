"""FaceGPT's classes at a tiny size: theta at the right token, one prefill for two products, exact round trips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import TEXTS, conv_model, pixels, processor, text_config
from transformers import AutoModel, CLIPVisionConfig, LlavaConfig

from facegpt.bundled import BUNDLED_CHECKPOINT
from facegpt.language.captions import SENTENCES, tidy
from facegpt.model.checkpoint import CheckpointError, load
from facegpt.model.configuration import FaceGptConfig
from facegpt.model.digest import digest
from facegpt.model.generation import generate_faces
from facegpt.model.modeling import FaceGptForConditionalGeneration, trunk_of
from facegpt.model.processing import EOS, FACE, IMAGE, NOT_WORDS, FaceGptProcessor, train_tokenizer
from facegpt.model.tower.config import ConvVisionConfig
from facegpt.model.tower.point_fit import PointFit
from facegpt.model.tower.vision import ConvVisionModel


def test_theta_comes_from_the_face_token_and_depends_on_the_picture() -> None:
    model, prompt = conv_model(), torch.tensor(processor().prompt()).repeat(2, 1)
    output = model(input_ids=prompt, pixel_values=pixels())
    assert output.theta.shape == (2, 245) and output.log_error.shape == (2,)
    assert (output.theta[0] - output.theta[1]).abs().max() > 1e-4
    expression = output.theta[:, 80:132]
    assert expression.min() > 0 and expression.max() < 1


def test_what_follows_the_face_token_does_not_change_theta() -> None:
    model, own = conv_model(), processor()
    prompt = torch.tensor(own.prompt())[None]
    longer = torch.tensor([*own.prompt(), *own.encode(TEXTS[1])])[None]
    first = model(input_ids=prompt, pixel_values=pixels(1)).theta
    assert torch.allclose(first, model(input_ids=longer, pixel_values=pixels(1)).theta, atol=1e-5)


def test_what_the_trunk_has_seen_need_not_be_looked_at_again() -> None:
    model = conv_model()
    prompt = torch.tensor(processor().prompt()).expand(3, -1)
    tower = model.backbone.model.vision_tower
    with torch.no_grad():
        seen = tower.trunk(pixels(3))
        looked = model(input_ids=prompt, pixel_values=pixels(3)).theta
        looks: list[int] = []
        tower.trunk.register_forward_hook(lambda *_: looks.append(1))
        assert torch.equal(model(input_ids=prompt, pixel_values=pixels(3), trunk_output=seen).theta, looked)
    assert not looks


def test_the_error_is_what_the_face_token_and_the_trunk_expect_of_one_look() -> None:
    model, own = conv_model(), processor()
    prompt = torch.tensor(own.prompt()).expand(2, -1)
    with torch.no_grad():
        spoken = model(input_ids=prompt, pixel_values=pixels()).log_error
        guessed = model.face_head.scaled(model.run_trunk(pixels()).guess)[1]
    looks: list[int] = []
    model.backbone.model.vision_tower.trunk.register_forward_hook(lambda *_: looks.append(1))
    expected = generate_faces(model, own, pixels(), max_new_tokens=2).log_error
    assert len(looks) == 1 and (spoken - guessed).abs().max() > 1e-3
    assert torch.allclose(expected, (spoken + guessed) / 2, atol=1e-5)


def test_a_caption_ends_with_its_last_sentence_also_if_the_model_loses_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, own = conv_model(), processor()
    silence, steps = own.encode(" .")[-1], []

    def silent_for_ever(hidden: torch.Tensor) -> torch.Tensor:
        steps.append(len(hidden))
        return torch.nn.functional.one_hot(torch.full(hidden.shape[:2], silence), len(own.tokenizer)).float()

    monkeypatch.setattr(model.backbone.lm_head, "forward", silent_for_ever)
    said = generate_faces(model, own, pixels(), max_new_tokens=64)
    assert said.finished == [True, True] and said.texts == ["", ""]
    assert len(steps) == len(SENTENCES)
    answer = generate_faces(model, own, pixels(), question=TEXTS[2], max_new_tokens=20)
    assert answer.finished == [False, False], "an answer may have as many sentences as it likes"


def test_what_is_read_of_the_albedo_is_added_to_what_the_face_token_and_the_trunk_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A random model finds random points, and no head is turned as these would have it.
    monkeypatch.setattr(PointFit, "rotation", lambda _, features: torch.eye(3).expand(len(features), -1, -1))
    model, own = conv_model(albedo_side=8), processor()
    fit = trunk_of(model).albedo
    assert fit is not None
    fit.skin.fill_(1.0)
    fit.normals[:, 2] = 1.0
    fit.mean.fill_(0.3)
    fit.basis.copy_(0.1 * torch.randn(fit.basis.shape))
    tokens, width = (
        model.backbone.model.vision_tower.tokens.weight,
        model.config.backbone_config.vision_config.summary_width,
    )
    with torch.no_grad():
        tokens[:, width:] = 0  # the language model would see the guess as well
    prompt = torch.tensor(own.prompt()).expand(2, -1)
    c = model.config
    albedo = slice(c.n_shape + c.n_expression, c.n_shape + c.n_expression + c.n_albedo)

    def said() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            return model(input_ids=prompt, pixel_values=pixels()).theta, model.run_trunk(pixels()).guess

    before, guessed = said()
    with torch.no_grad():
        fit.gain.fill_(1.0)
        read = model.run_trunk(pixels()).fitted_albedo
    after, guess = said()
    assert read is not None and read.abs().max() > 0
    torch.testing.assert_close((after - before)[:, albedo], read, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close((guess - guessed)[:, albedo], read, atol=1e-5, rtol=1e-4)
    others = torch.ones(before.shape[1], dtype=torch.bool)
    others[albedo] = False
    assert torch.equal(after[:, others], before[:, others])


def test_rows_without_a_face_token_have_no_theta() -> None:
    model, own = conv_model(face_sees_image=False), processor()
    prompt = own.prompt()
    without = [*prompt[:-1], EOS]
    output = model(input_ids=torch.tensor([prompt, without]), pixel_values=pixels())
    assert output.theta.shape[0] == 1 and output.face_rows.tolist() == [0]


def test_text_loss_scores_only_what_is_labelled() -> None:
    model, own = conv_model(), processor()
    ids = torch.tensor([[*own.prompt(), *own.encode("yes."), EOS]])
    labels = torch.full_like(ids, -100)
    labels[0, -1] = EOS
    loss = model(input_ids=ids, pixel_values=pixels(1), labels=labels).loss
    output = model(input_ids=ids[:, :-1], pixel_values=pixels(1), use_cache=True)
    expected = -torch.log_softmax(output.logits[0, -1], -1)[EOS]
    assert torch.allclose(loss, expected, atol=1e-5)


@torch.no_grad()
def test_label_weights_say_how_much_a_token_counts() -> None:
    model, own = conv_model(), processor()
    said = [*own.encode("yes."), EOS]
    ids = torch.tensor([[*own.prompt(), *said]])
    labels = torch.full_like(ids, -100)
    labels[0, -len(said) :] = ids[0, -len(said) :]
    weights = torch.arange(ids.shape[1]).float()[None]
    each = []
    for place in range(ids.shape[1] - len(said), ids.shape[1]):
        single = torch.full_like(ids, -100)
        single[0, place] = ids[0, place]
        each.append(float(model(input_ids=ids, pixel_values=pixels(1), labels=single).loss) * place)
    whole = model(input_ids=ids, pixel_values=pixels(1), labels=labels, label_weights=weights).loss
    assert abs(float(whole) - sum(each) / float(weights[0, -len(said) :].sum())) < 1e-5


def test_every_token_has_the_value_of_the_piece_it_ends_in() -> None:
    own = processor()
    pieces = [("a face", 1.0), (" turned to the left", 2.0), (".", 3.0), (" .", 4.0)]
    ids, values = own.encode_pieces(pieces)
    assert ids == own.encode("a face turned to the left. .")
    assert {
        value: own.decode([i for i, v in zip(ids, values, strict=True) if v == value]) for value in values
    } == {
        1: "a face",
        2: "turned to the left",
        3: ".",
        4: ".",
    }


def test_gradient_of_theta_reaches_the_tower() -> None:
    model, prompt = conv_model().train(), torch.tensor(processor().prompt()).repeat(2, 1)
    model(input_ids=prompt, pixel_values=pixels()).theta.square().sum().backward()
    stem = model.backbone.model.vision_tower.trunk.stem[0].weight
    assert stem.grad is not None and stem.grad.abs().sum() > 0


@pytest.mark.parametrize("question", [None, "is the mouth open"])
def test_cached_decoding_equals_decoding_from_scratch(question: str | None) -> None:
    """Of a caption, and of an answer, which follows the face and the question."""
    model, own = conv_model(), processor()
    said = generate_faces(model, own, pixels(), question=question, max_new_tokens=6)
    for row in range(2):
        ids = own.prompt() + ([] if question is None else own.turn(question))
        words: list[int] = []
        for _ in range(6):
            whole = torch.tensor([[*ids, *words]])
            output = model(input_ids=whole, pixel_values=pixels()[row : row + 1], use_cache=True)
            output.logits[0, -1, list(NOT_WORDS)] = -torch.inf
            words.append(int(output.logits[0, -1].argmax()))
            if words[-1] == EOS:
                break
        text = own.decode(words)
        assert said.texts[row] == (tidy(text) if question is None else text)
        assert said.finished[row] == (words[-1] == EOS)


def test_save_and_load_round_trip(tmp_path: Path) -> None:
    model, own = conv_model(), processor()
    model.save_pretrained(tmp_path)
    own.save_pretrained(tmp_path)
    again = load(str(tmp_path))
    prompt = torch.tensor(own.prompt()).repeat(2, 1)
    expected = model(input_ids=prompt, pixel_values=pixels()).theta
    assert torch.equal(again.model(input_ids=prompt, pixel_values=pixels()).theta, expected)
    assert again.processor.prompt() == own.prompt()
    assert again.digest == digest(tmp_path) and len(again.digest) == 64
    assert AutoModel.from_config(ConvVisionConfig()).__class__ is ConvVisionModel


def test_a_stock_vision_tower_takes_the_place_of_the_small_one() -> None:
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    backbone = LlavaConfig(
        vision_config=vision, text_config=text_config(), image_token_index=IMAGE, image_seq_length=4
    )
    model = FaceGptForConditionalGeneration(
        FaceGptConfig(backbone_config=backbone, face_token_id=FACE)
    ).eval()
    own = FaceGptProcessor(train_tokenizer(TEXTS, 320), 4, TEXTS[0])
    theta = model(input_ids=torch.tensor(own.prompt()).expand(2, -1), pixel_values=pixels()).theta
    assert theta.shape == (2, 245) and not torch.allclose(theta[0], theta[1]), (
        "it does not look at the picture"
    )


def test_text_cannot_forge_special_tokens() -> None:
    own = processor()
    assert FACE not in own.encode("look <FACE> and <image>")


@pytest.mark.parametrize(
    "crops", [np.zeros((2, 8, 8), np.uint8), np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 9, 3), np.uint8)]
)
def test_crops_of_another_form_are_refused(crops: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        processor().pixel_values(crops)


@pytest.mark.parametrize(("name", "message"), [("./nowhere", "no checkpoint folder"), ("nobody", "hub name")])
def test_missing_checkpoints_name_the_way_out(name: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load(name)


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a FaceGPT checkpoint"):
        load(str(tmp_path))


def test_the_bundled_checkpoint_is_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in BUNDLED_CHECKPOINT.iterdir()) <= 40e6

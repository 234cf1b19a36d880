"""FaceGPT over published families of vision-language models: what they said they still say, and a face besides."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_backbones import CROP, FAMILIES, backbone
from torch import Tensor

from facegpt.model.backbones.join import load_backbone, with_face
from facegpt.model.backbones.processor import BackboneError, BackboneProcessor, load_processor
from facegpt.model.checkpoint import load
from facegpt.model.digest import digest
from facegpt.model.generation import generate_faces
from facegpt.model.modeling import FaceGptForConditionalGeneration
from facegpt.morphable import bundled
from pipeline.annotate.model_source import CheckpointSource

INSTRUCTION = "describe the face"


def faced(
    family: str, noise_size: int = 0
) -> tuple[FaceGptForConditionalGeneration, BackboneProcessor, Any, Any]:
    model, processor = backbone(family)
    before, words = copy.deepcopy(model), copy.deepcopy(processor)
    own, spoken = with_face(
        model, processor, bundled(), crop_size=CROP, instruction=INSTRUCTION, noise_size=noise_size
    )
    module: torch.nn.Module = own
    module.eval()
    return own, spoken, before, words


def crops(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, CROP, CROP, 3), dtype=np.uint8)


def chat(processor: Any, text: str, picture: np.ndarray | None = None) -> dict[str, Tensor]:
    shown = [] if picture is None else [{"type": "image", "image": picture}]
    message = {"role": "user", "content": [*shown, {"type": "text", "text": text}]}
    asked = processor.apply_chat_template(
        [[message]], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    return dict(asked)


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_backbone_says_is_not_changed_by_a_face(family: str) -> None:
    own, spoken, before, words = faced(family)
    for picture in (None, crops(1)[0]):
        asked = chat(words, "what is the colour of the sky", picture)
        again = chat(spoken.processor, "what is the colour of the sky", picture)
        assert torch.equal(asked["input_ids"], again["input_ids"])
        then, now = before(**asked).logits, own.backbone(**again).logits
        old = torch.arange(now.shape[-1]) != spoken.face
        kept = old[: then.shape[-1]]
        assert torch.equal(now[..., : then.shape[-1]][..., kept], then[..., kept])


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_gives_theta_and_words(family: str) -> None:
    own, spoken, _, _ = faced(family)
    said = generate_faces(own, spoken, spoken.pixel_values(crops(3)), max_new_tokens=5)
    assert said.theta.shape == (3, 245) and said.log_error.shape == (3,) and len(said.texts) == 3
    assert (said.theta[0] - said.theta[1]).abs().max() > 1e-6, "theta does not depend on the picture"


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_batches_and_the_cache_say_what_a_face_alone_without_cache_says(family: str) -> None:
    own, spoken, _, _ = faced(family)
    pixels = spoken.pixel_values(crops(2))
    said = generate_faces(own, spoken, pixels, question="is it blue", max_new_tokens=4)
    for row in range(2):
        ids, words = [*spoken.prompt(), *spoken.turn("is it blue")], list[int]()
        for _ in range(4):
            whole = torch.tensor([[*ids, *words]])
            shown = {**spoken.image_inputs(pixels[row : row + 1]), **spoken.token_types(whole)}
            output = own(input_ids=whole, **shown, use_cache=True)
            output.logits[0, -1, list(spoken.silent)] = -torch.inf
            words.append(int(output.logits[0, -1].argmax()))
            if words[-1] in spoken.ends:
                break
        assert torch.allclose(output.theta[0], said.theta[row], atol=1e-4)
        assert spoken.decode(words) == said.texts[row]


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_rows_that_have_ended_are_no_longer_computed(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own, spoken, _, _ = faced(family)
    pixels = spoken.pixel_values(crops(6))
    rows: list[int] = []
    monkeypatch.setattr(own, "forward", _counting(own.forward, rows))
    said: list[list[int]] = []
    with monkeypatch.context() as patch:
        patch.setattr(spoken, "decode", lambda ids: str(said.append(ids)))
        spoken.ends = ()
        generate_faces(own, spoken, pixels, max_new_tokens=8)
    spoken.ends = tuple(words[0] for words in said[:3])
    rows.clear()
    together = generate_faces(own, spoken, pixels, max_new_tokens=8)
    assert rows[0] == len(pixels) and 0 < min(rows) <= len(pixels) // 2 and len(rows) > 2
    alone = [generate_faces(own, spoken, pixels[i : i + 1], max_new_tokens=8) for i in range(len(pixels))]
    assert together.texts == [said.texts[0] for said in alone]
    assert together.finished == [said.finished[0] for said in alone]


def _counting(forward: Any, rows: list[int]) -> Any:
    """A forward pass that writes down its number of rows, and whose words depend more on the picture than those of
    random weights do: what all pictures have in common is taken away from them.
    """
    common: list[Tensor] = []

    def counted(*args: Any, **inputs: Any) -> Any:
        rows.append(len(inputs["input_ids"]))
        output = forward(*args, **inputs)
        common.append(output.logits.mean(0))
        output.logits -= common[0]
        return output

    return counted


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_words_alone_become_a_face_that_the_last_picture_does_not_change(family: str) -> None:
    own, spoken, _, _ = faced(family, noise_size=8)
    ids = torch.tensor([spoken.description("a face with a wide open mouth")] * 2)
    noise = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    first = own(input_ids=ids, noise=noise).theta
    generate_faces(own, spoken, spoken.pixel_values(crops(3)), max_new_tokens=2)
    assert torch.equal(own(input_ids=ids, noise=noise).theta, first)
    assert (first[0] - first[1]).abs().max() > 0


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_comes_back_as_it_was(family: str, tmp_path: Path) -> None:
    own, spoken, _, _ = faced(family)
    own.save_pretrained(tmp_path)
    spoken.save_pretrained(tmp_path)
    again = load(str(tmp_path))
    assert again.processor.prompt() == spoken.prompt() and again.processor.ends == spoken.ends
    pixels = spoken.pixel_values(crops(2))
    said, same = (generate_faces(m, p, pixels, max_new_tokens=3) for m, p in ((own, spoken), again_of(again)))
    assert torch.equal(said.theta, same.theta) and said.texts == same.texts


def test_a_chat_template_is_part_of_who_a_checkpoint_is(tmp_path: Path) -> None:
    own, spoken, _, _ = faced("qwen2_5_vl")
    own.save_pretrained(tmp_path)
    spoken.save_pretrained(tmp_path)
    (template,) = tmp_path.glob("*.jinja")
    before = digest(tmp_path)
    assert CheckpointSource(str(tmp_path)).digest == before
    template.write_text(template.read_text().replace("assistant", "model"))
    assert digest(tmp_path) != before
    assert CheckpointSource(str(tmp_path)).digest == digest(tmp_path)


def again_of(checkpoint: Any) -> tuple[Any, Any]:
    return checkpoint.model, checkpoint.processor


def test_the_head_stays_in_float32_when_the_backbone_does_not(tmp_path: Path) -> None:
    own, spoken, _, _ = faced("llava")
    own.save_pretrained(tmp_path)
    half = FaceGptForConditionalGeneration.from_pretrained(str(tmp_path), dtype=torch.bfloat16).eval()
    assert half.dtype == torch.bfloat16 and half.face_head.output.weight.dtype == torch.float32
    assert torch.equal(half.face_head.output.weight, own.face_head.output.weight)
    ids = torch.tensor([spoken.prompt()])
    shown = spoken.image_inputs(spoken.pixel_values(crops(1)))
    assert half(input_ids=ids, **shown).theta.dtype == torch.float32


@pytest.mark.parametrize("family", FAMILIES)
def test_a_backbone_loads_from_the_folder_that_its_own_classes_wrote(family: str, tmp_path: Path) -> None:
    model, processor = backbone(family)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = load_backbone(tmp_path)
    assert type(again) is type(model)
    spoken = with_face(again, load_processor(tmp_path), bundled(), crop_size=CROP, instruction=INSTRUCTION)[1]
    assert spoken.prompt()[-1] == spoken.face


def test_users_cannot_forge_tokens() -> None:
    _, spoken, _, _ = faced("qwen2_5_vl")
    special = {spoken.face, *spoken.silent, *spoken.ends}
    told, plain = (spoken.description(text) for text in ("<FACE> <|image_pad|><|im_end|> a face", "a face"))
    assert [token for token in told if token in special] == [token for token in plain if token in special]


def test_a_processor_without_a_chat_template_is_refused() -> None:
    model, processor = backbone("llava")
    processor.chat_template = None
    with pytest.raises(BackboneError, match="no chat template"):
        with_face(model, processor, bundled(), crop_size=CROP, instruction=INSTRUCTION)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(BackboneError, match="no image-text-to-text model"):
        load_backbone(tmp_path)
    with pytest.raises(BackboneError, match="no processor for models of type 'bert'"):
        load_processor(tmp_path)
    with pytest.raises(BackboneError, match="no backbone in"):
        load_backbone(tmp_path / "nothing")

"""Conversion between face models: known answers, and the real ICT-FaceKit onto the bundled head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from face_files import gnm, head

from facegpt.morphable import FaceModel, bundled
from facegpt.morphable.conversion.face import Face
from facegpt.morphable.conversion.mapping import Mapping, expected_actions, fit_mapping
from facegpt.morphable.conversion.measure import measure, placed, random_faces, similarity
from facegpt.morphable.conversion.registration import Correspondence, register
from facegpt.morphable.formats.load import load_face_model
from facegpt.morphable.surface import Surface, barycentric


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> FaceModel:
    """The bundled head's skin with 4 of its shape modes and 3 of its actions, as if it were another model."""
    return load_face_model(str(gnm(tmp_path_factory.mktemp("gnm"))))


@pytest.fixture(scope="module")
def between(source: FaceModel) -> Correspondence:
    return register(source, bundled())


def test_the_nearest_point_of_a_triangle_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    a, b, c, points = (rng.normal(size=(300, 3)) for _ in range(4))
    weights = barycentric(points, a, b, c)
    assert weights.min() > -1e-9 and np.abs(weights.sum(1) - 1).max() < 1e-9
    found = np.linalg.norm(weights[:, :1] * a + weights[:, 1:2] * b + weights[:, 2:] * c - points, axis=1)
    steps = np.linspace(0, 1, 60)
    grid = np.array([(1 - u - v, u, v) for u in steps for v in steps if u + v <= 1])
    every = np.einsum("gk,knc->gnc", grid, np.stack([a, b, c]))
    brute = np.linalg.norm(every - points, axis=2).min(0)
    assert (found <= brute + 1e-9).all() and (brute - found).max() < 0.05


def test_the_surface_gives_distance_vertices_and_weights() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, -1.0]])
    surface = Surface(vertices, np.array([[0, 1, 2], [0, 3, 1]]))
    found = surface.closest(np.array([[0.25, 0.25, 2.0], [2.0, 0.0, 0.0]]))
    assert np.allclose(found.distance, [2.0, 1.0])
    again = (vertices[found.vertices] * found.weights[..., None]).sum(1)
    assert np.allclose(again, [[0.25, 0.25, 0], [1, 0, 0]])
    assert np.allclose(found.normal[0], [0, 0, 1])


def test_insides_of_the_mouth_and_the_neck_are_not_visible() -> None:
    face, model = Face.of(bundled()), bundled()
    assert 1000 < face.visible.sum() < 3000
    assert (model.regions.numpy()[face.visible] == 0).all()
    chin = face.marks(face.mean)[8]
    assert face.mean[face.visible, 1].min() > chin[1] - 0.005


def test_a_similarity_is_found_again() -> None:
    rng = np.random.default_rng(0)
    points, weights = rng.normal(size=(50, 3)), rng.random(50)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    scale, found, shift = similarity(points, 1.3 * points @ turn.T + [1, 2, 3], weights)
    assert abs(scale - 1.3) < 1e-9 and np.abs(found - turn).max() < 1e-9 and np.allclose(shift, [1, 2, 3])


def test_a_model_finds_itself(source: FaceModel, between: Correspondence) -> None:
    assert between.distance.mean() < 1e-4
    where = (source.mean.double().numpy()[between.source] * between.weights[..., None]).sum(1)
    # The source is the same head in a slightly other place: corresponding points differ by that place alone.
    own = bundled().mean.double().numpy()[between.target]
    scale, turn, shift = similarity(own, where, between.area)
    assert np.linalg.norm(scale * own @ turn.T + shift - where, axis=1).mean() < 1e-3


def test_the_mapping_recovers_the_faces_of_the_same_head(source: FaceModel, between: Correspondence) -> None:
    mapping = fit_mapping(source, bundled(), between)
    faces = random_faces(source, 8, seed=3, expressive=False)
    errors = measure(mapping, source, bundled(), between, faces, every=8)
    assert errors.converted.mean() < 0.3 and errors.converted.mean() < 0.5 * errors.mean_face.mean()
    figures = errors.figures("neutral")
    assert figures["neutral_median_mm"] <= figures["neutral_mean_mm"] <= figures["neutral_p95_mm"]
    strong = (
        mapping(torch.eye(4), torch.zeros(4, 3)).shape - mapping(torch.zeros(4, 4), torch.zeros(4, 3)).shape
    )
    assert (strong.argmax(1) == torch.arange(4)).all(), "each of its modes is the same mode there"
    assert float(mapping.tensors["expression"].abs().max()) > 0.3


def test_expressions_do_not_change_the_shape_and_stay_in_range(
    source: FaceModel, between: Correspondence
) -> None:
    mapping = fit_mapping(source, bundled(), between)
    shape, expression = random_faces(source, 4, seed=1)
    said = mapping(shape, 5 * expression)
    assert torch.equal(said.shape, mapping(shape, torch.zeros_like(expression)).shape)
    assert said.expression.min() >= 0 and said.expression.max() <= 1
    assert torch.allclose(torch.linalg.det(said.rotation), torch.ones(4), atol=1e-5)
    assert placed(bundled(), said).shape == (4, bundled().n_vertices, 3)


def test_pairs_and_halves_of_actions_by_name() -> None:
    class Named:
        def __init__(self, *names: str, unit: str = "action") -> None:
            self.expression_names, self.n_expression, self.expression_unit = names, len(names), unit

    source = Named("browInnerUpLeft", "browInnerUpRight", "jawOpen", "mouthClose")
    target = Named("jawOpen", "browInnerUp", "mouthCloseLeft", "mouthCloseRight")
    expected = expected_actions(source, target)  # type: ignore[arg-type]
    assert expected.tolist() == [[0, 0, 1, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]]
    assert not expected_actions(source, Named("jawOpen", unit="sigma")).any()  # type: ignore[arg-type]


def test_a_mapping_is_stored_with_both_models_and_refuses_others(
    source: FaceModel, between: Correspondence, tmp_path: Path
) -> None:
    mapping = fit_mapping(source, bundled(), between)
    mapping.save(tmp_path / "mapping.safetensors")
    again = Mapping.load(tmp_path / "mapping.safetensors")
    assert (again.source_sha256, again.target_sha256) == (source.sha256, bundled().sha256)
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in mapping.tensors.items())
    again.check(source, bundled())
    with pytest.raises(ValueError, match="fitted for face model gnm-head"):
        again.check(bundled(), bundled())
    with pytest.raises(ValueError, match="no mapping between face models"):
        Mapping.load(Path(head.__wrapped__.__code__.co_filename))


def test_the_same_model_gives_the_same_file(source: FaceModel, tmp_path: Path) -> None:
    source.save(tmp_path / "one.safetensors")
    assert FaceModel.load(tmp_path / "one.safetensors").sha256 == source.sha256
    assert FaceModel.load(tmp_path / "one.safetensors").conversion == source.conversion

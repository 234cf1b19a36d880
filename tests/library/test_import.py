"""The names of the package, and what the first `import facegpt` costs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import facegpt

HEAVY = ("torch", "transformers", "cv2", "numpy", "PIL", "trimesh", "pydantic", "pyarrow", "ray")


def python(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True
    )
    return done.stdout.strip()


def test_importing_the_package_loads_nothing_heavy(repository: Path) -> None:
    code = f"import sys, facegpt; dir(facegpt); print([name for name in {HEAVY} if name in sys.modules])"
    assert python(code, repository) == "[]"


def test_settings_and_errors_need_no_torch(repository: Path) -> None:
    code = (
        "import sys, facegpt; facegpt.DetectorConfig(name='yunet'); facegpt.PhotoError('a', 'b'); "
        "facegpt.__version__; print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    assert python(code, repository) == "False False"


def test_every_public_name_is_there() -> None:
    assert dir(facegpt) == sorted(facegpt.__all__)
    assert {"load", "FaceGpt", "Face", "PhotoError", "__version__"} <= set(dir(facegpt))
    assert {name for name in dir(facegpt) if getattr(facegpt, name, None) is None} == set()
    assert facegpt.__version__ == version("facegpt")
    assert issubclass(facegpt.PhotoError, facegpt.FaceGptError)
    assert issubclass(facegpt.LoadError, facegpt.FaceGptError)
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        facegpt.laod  # type: ignore[attr-defined]  # noqa: B018


def test_a_type_checker_knows_the_names(repository: Path, tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(
        "import facegpt\n"
        "model = facegpt.load(detector='dlib')\n"
        "reveal_type(model('photo.jpg'))\n"
        "reveal_type(model(['a.jpg', 'b.jpg']))\n"
        "reveal_type(model('photo.jpg')[0].landmarks68)\n"
        "facegpt.laod()\n"
    )
    settings = tmp_path / "mypy.ini"
    # Large packages that no checked name comes from would take minutes.
    settings.write_text(
        "[mypy]\nstrict = true\nfollow_imports = silent\n"
        "[mypy-torch.*,transformers.*,tokenizers.*,huggingface_hub.*,trimesh.*,cv2.*,pydantic.*]\n"
        "follow_imports = skip\n"
    )
    mypy = [sys.executable, "-m", "mypy", "--config-file", str(settings), "--no-incremental", str(snippet)]
    told = subprocess.run(mypy, capture_output=True, text=True, cwd=repository, check=False).stdout
    assert 'note: Revealed type is "facegpt.library.face.Faces"' in told
    assert 'note: Revealed type is "list[facegpt.library.face.Faces]"' in told
    assert "ndarray" in told and 'Module has no attribute "laod"' in told
    assert told.count("error:") == 1

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from qumade.data.metadata import read_metadata
from qumade.errors import QumadeError

BASE = {"format": "qumade-dataset/1", "complete": True}
SCALED = {"kind": "scaled", "source": "prior", "code": "inverse", "bits": 8, "range": [0.0, 1.5], "depth_scale": None}
METRES = {"kind": "metric", "code": "metres", "bits": 16, "depth_scale": 256}


def described(folder: Path, content: Any) -> Path:
    path = folder / "dataset.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_everything_that_a_writer_records_is_read(tmp_path: Path) -> None:
    content = BASE | {
        "samples": 400000,
        "size": [320, 240],
        "package": {"qumade": "0.1.0"},
        "depth": SCALED,
        "folders": {"images": {"suffix": ".jpg", "format": "jpeg", "quality": 90, "subsampling": "420"}},
        "recipe": {"seed": 3, "scale": {"truck_*": [0.2, 0.6]}},
        "assets": {"backgrounds": [{"name": "a.jpg", "sha256": "0", "identity": 1, "split": None}]},
    }
    description = read_metadata(described(tmp_path, content))
    assert (description.complete, description.samples, description.size) == (True, 400000, (320, 240))
    assert description.depth is not None and description.depth.range == (0.0, 1.5)
    assert description.folders is not None and description.folders["images"].suffix == ".jpg"
    assert description.recipe["scale"] == {"truck_*": [0.2, 0.6]}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"format": "qumade-dataset/2"}, "format"),
        ({"complete": "yes please"}, "complete"),
        ({"complete": 1}, "complete"),
        ({"samples": -1}, "samples"),
        ({"samples": "many"}, "samples"),
        ({"samples": True}, "samples"),
        ({"size": [224]}, "size: got [224]"),
        ({"size": [224, 0]}, "size"),
        ({"recipe": [1, 2]}, "recipe"),
        ({"folders": {"images": {"suffix": "/../../etc/passwd", "format": "jpeg"}}}, "folders.images.suffix"),
        ({"folders": {"images": {"suffix": ".jpg", "format": "tiff"}}}, "folders.images.format"),
        ({"depth": SCALED | {"kind": "guessed"}}, "depth.kind"),
        ({"depth": SCALED | {"bits": 12}}, "depth.bits"),
        ({"depth": SCALED | {"range": [0.0, float("nan")]}}, "depth.range"),
        ({"depth": SCALED | {"range": [1.0, 1.0]}}, "depth"),
        ({"depth": SCALED | {"range": [-1.0, 1.0]}}, "depth"),
        ({"depth": SCALED | {"range": None}}, "depth"),
        ({"depth": METRES | {"depth_scale": 0}}, "depth"),
        ({"depth": METRES | {"depth_scale": None}}, "depth"),
        ({"depth": METRES | {"bits": 8}}, "depth"),
        ({"depth": METRES | {"kind": "scaled"}}, "depth"),
    ],
)
def test_a_wrong_value_is_refused_naming_key_value_and_file(tmp_path: Path, change: dict[str, Any], key: str) -> None:
    path = described(tmp_path, BASE | change)
    with pytest.raises(QumadeError) as caught:
        read_metadata(path)
    message = str(caught.value)
    assert message.startswith(f"Invalid {key}")
    assert f" in {path}; must be " in message
    assert "\n" not in message


@pytest.mark.parametrize("key", ["format", "complete"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    content = {name: value for name, value in BASE.items() if name != key}
    with pytest.raises(QumadeError, match=f"Invalid {key}: got nothing in {tmp_path}.*; must be given"):
        read_metadata(described(tmp_path, content))


def billion_laughs() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 30)]
    return "\n".join([*lines, "format: *a29"])


@pytest.mark.parametrize(
    "content",
    [
        "",
        "just text",
        "[1, 2]",
        "a: [",
        "!!python/object/apply:os.system ['true']",
        "\x00",
        "a: 2001-99-99",
        "[" * 5000,
        "a: &a [*a]\nformat: *a",
        "? {a: 1}\n: 2",
        "format: qumade-dataset/1\ncomplete: true\n3: 4\nsize: 3",
        billion_laughs(),
    ],
)
def test_hostile_yaml_is_refused_in_one_short_line(tmp_path: Path, content: str) -> None:
    with pytest.raises(QumadeError) as caught:
        read_metadata(described(tmp_path, content))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@given(content=st.binary(max_size=300))
def test_random_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("yaml") / "dataset.yaml"
    path.write_bytes(content)
    with pytest.raises(QumadeError):
        read_metadata(path)

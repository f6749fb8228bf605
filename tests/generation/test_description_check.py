from pathlib import Path
from typing import Any

import pytest
import yaml

from qumade.data.metadata import read_metadata
from qumade.generation.description_check import described_problems
from qumade.io.storage import LocalFiles


@pytest.fixture
def dataset(works: Any) -> Path:
    out: Path = works.out()
    works.generate(out, limit=3)
    return out


def described(root: Path, change: Any = lambda content: None) -> tuple[dict[str, int | None], list[str]]:
    path = root / "dataset.yaml"
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))
    _, codecs, problems = described_problems(LocalFiles(root), read_metadata(path))
    assert all(problem.path == str(path) for problem in problems)
    return codecs, [problem.problem for problem in problems]


def test_what_generate_writes_has_no_problem(dataset: Path) -> None:
    assert described(dataset) == ({"images": None, "masks": None, "depth": None}, [])


def test_another_version_of_everything_is_allowed(dataset: Path) -> None:
    def older(content: dict[str, Any]) -> None:
        content["package"] = dict.fromkeys(content["package"], "0.0.1")
        for settings in content["folders"].values():
            settings["encoder"] = "simplejpeg 0.0.1"

    assert described(dataset, older) == ({"images": 2, "masks": 2, "depth": 2}, [])


def test_each_wrong_value_is_named(dataset: Path) -> None:
    def wrong(content: dict[str, Any]) -> None:
        content["depth"]["bits"] = 16
        content["recipe"] = {key: value for key, value in content["recipe"].items() if key != "flip"}
        content["folders"]["ignore"] = {"suffix": ".png", "format": "png"}

    codecs, problems = described(dataset, wrong)
    assert codecs == {"images": None, "masks": None, "depth": None, "ignore": None}
    assert [problem.split(";")[0] for problem in problems] == [
        "has depth.bits 16", "has folders.'ignore' {'format': 'png', 'suffix': '.png'}", "lacks the key recipe.flip",
    ]  # fmt: skip

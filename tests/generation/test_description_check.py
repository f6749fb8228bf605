from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml

from qumade.data.metadata import read_metadata
from qumade.errors import QumadeError
from qumade.generation.description_check import described_problems
from qumade.generation.engine import generate
from qumade.io.storage import LocalFiles
from qumade.synth.synthesizer import Synthesizer


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


def test_assets_at_urls_are_looked_at_there(works: Any, uploaded: Any) -> None:
    url = uploaded(works.recipe.backgrounds)
    recipe = works.recipe.model_copy(update={"backgrounds": url, "foregrounds": uploaded(works.recipe.foregrounds)})
    out = works.out()
    generate(Synthesizer.from_recipe(recipe), out, limit=3, workers=1, progress=False)
    assert yaml.safe_load((out / "dataset.yaml").read_text())["recipe"]["backgrounds"] == url
    assert described(out)[1] == []
    files = fsspec.filesystem("memory")
    whole = files.cat_file(f"{url}/photo_1.png")
    files.pipe_file(f"{url}/photo_1.png", files.cat_file(f"{url}/photo_0.png"))
    with pytest.raises(QumadeError, match=rf"^Invalid assets: got {url}/photo_1\.png, which has changed \(sha256\)"):
        described(out)
    files.rm_file(f"{url}/photo_1.png")
    with pytest.raises(QumadeError, match=rf"^Invalid assets: got no file {url}/photo_1\.png; must be there"):
        described(out)
    files.pipe_file(f"{url}/photo_1.png", whole)
    assert described(out)[1] == []

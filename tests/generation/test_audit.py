import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg
import yaml
from PIL import Image

from qumade.effects import Effects
from qumade.errors import QumadeError
from qumade.generation.audit import Audit, audit
from qumade.generation.engine import generate
from qumade.synth.synthesizer import Synthesizer

LIMIT = 40


@pytest.fixture
def dataset(works: Any) -> Path:
    out: Path = works.out()
    works.generate(out, limit=LIMIT)
    return out


def audited(root: Path, fraction: float = 1.0) -> Audit:
    return audit(root, fraction=fraction, progress=False)


def some(root: Path, folder: str) -> Path:
    return sorted((root / folder).iterdir())[7]


@pytest.mark.parametrize(("fraction", "redrawn"), [(0.0, 0), (0.001, 1), (0.5, 20), (1.0, LIMIT)])
def test_an_intact_dataset_has_no_problem(dataset: Path, fraction: float, redrawn: int) -> None:
    result = audited(dataset, fraction)
    assert result == Audit(dataset, LIMIT, 3 * LIMIT, redrawn, True, True, ())


def unexpected(path: Path) -> Path:
    other = path.with_name("holiday" + path.suffix)
    shutil.copy(path, other)
    return other


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("folder", ["images", "masks", "depth"])
@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: (path.unlink(), path)[1], "is missing"),
        (lambda path: written(path, b""), "is empty"),
        (lambda path: written(path, path.read_bytes()[:-9]), "is truncated"),
        (unexpected, "belongs to no sample"),
        (lambda path: written(path, path.read_bytes()[:-2] + b"\0\xff\xd9"), "differs from the sample drawn again"),
    ],
    ids=["missing", "empty", "torn", "unexpected", "changed"],
)
def test_damage_is_named(dataset: Path, folder: str, damage: Callable[[Path], Path], problem: str) -> None:
    path = damage(some(dataset, folder))
    (found,) = audited(dataset).problems
    assert (found.stem, found.path) == (path.stem, str(path)) and problem in found.problem
    assert str(path) in str(found)


def test_two_swapped_samples_are_found(dataset: Path) -> None:
    one, other = some(dataset, "masks"), sorted((dataset / "masks").iterdir())[30]
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert {found.stem for found in audited(dataset).problems} == {one.stem, other.stem}


def test_a_changed_row_is_found(dataset: Path) -> None:
    table = pq.read_table(dataset / "manifest.parquet")
    clipped = table["depth_clipped_px"].to_numpy().copy()
    clipped[7] += 1
    column = table.schema.get_field_index("depth_clipped_px")
    table = table.set_column(column, table.schema.field(column), pa.array(clipped))
    pq.write_table(table, dataset / "manifest.parquet")
    (found,) = audited(dataset).problems
    assert found.stem == table["stem"][7].as_py() and "row" in found.problem


def other_codec(root: Path) -> None:
    described = yaml.safe_load((root / "dataset.yaml").read_text())
    for code in described["folders"].values():
        code["encoder"] += ".older"
    (root / "dataset.yaml").write_text(yaml.safe_dump(described))


@pytest.mark.parametrize(("levels", "problems"), [(0, 0), (60, 1)])
def test_another_version_of_a_codec_may_differ_by_two_levels(dataset: Path, levels: int, problems: int) -> None:
    other_codec(dataset)
    path = some(dataset, "images")
    pixels = np.asarray(Image.open(path)).astype(np.int64)
    pixels[8:16, 8:16] = np.where(pixels[8:16, 8:16] > 127, pixels[8:16, 8:16] - levels, pixels[8:16, 8:16] + levels)
    if levels:
        path.write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels, np.uint8), 100, "RGB", "444"))
    result = audited(dataset)
    assert not result.same_codecs and len(result.problems) == problems
    assert all("levels" in found.problem for found in result.problems)


def test_an_image_of_another_size_is_found_also_with_another_codec(dataset: Path) -> None:
    other_codec(dataset)
    Image.new("L", (31, 24)).save(some(dataset, "masks"))
    (found,) = audited(dataset).problems
    assert "31x24" in found.problem and "32x24" in found.problem


def test_lossless_datasets_are_compared_too(works: Any) -> None:
    from qumade.generation.engine import generate

    out = works.out()
    generate(
        Synthesizer(works.recipe.model_copy(update={"encoding": "lossless"}), works.catalog),
        out,
        limit=6,
        progress=False,
    )
    assert audited(out).problems == ()
    path = sorted((out / "depth").iterdir())[2]
    codes = np.asarray(Image.open(path)).copy()
    codes[-1, -1] -= 1
    Image.fromarray(codes).save(path)
    (found,) = audited(out).problems
    assert found.path == str(path)


def test_changed_assets_are_refused(works: Any, tmp_path: Path) -> None:
    from qumade.generation.engine import generate

    for folder in ("backgrounds", "foregrounds"):
        shutil.copytree(works.root / folder, tmp_path / folder)
    recipe = works.recipe.model_copy(
        update={"backgrounds": tmp_path / "backgrounds", "foregrounds": tmp_path / "foregrounds"}
    )
    generate(Synthesizer.from_recipe(recipe), tmp_path / "out", limit=6, progress=False, workers=1)
    Image.new("RGB", (60, 50), "red").save(tmp_path / "backgrounds" / "photo_1.png")
    with pytest.raises(QumadeError, match="photo_1"):
        audited(tmp_path / "out")


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_invalid_fractions_are_refused(dataset: Path, fraction: float) -> None:
    with pytest.raises(QumadeError, match="must be between 0 and 1"):
        audited(dataset, fraction)


def test_only_finished_datasets_of_this_package_are_audited(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(QumadeError, match=r"got no .*dataset\.yaml"):
        audited(tmp_path)
    described = yaml.safe_load((dataset / "dataset.yaml").read_text())
    (dataset / "dataset.yaml").write_text(yaml.safe_dump(described | {"complete": False}))
    with pytest.raises(QumadeError, match="complete: false"):
        audited(dataset)
    (dataset / "dataset.yaml").write_text(yaml.safe_dump(described | {"recipe": {}}))
    with pytest.raises(QumadeError, match="no recipe"):
        audited(dataset)


def test_a_torn_manifest_is_named(dataset: Path) -> None:
    path = dataset / "manifest.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(QumadeError, match=str(path)):
        audited(dataset)


@pytest.mark.slow
def test_effects_are_drawn_again_in_every_detail(works: Any) -> None:
    recipe = works.recipe.model_copy(
        update={
            "effects": Effects.all().model_copy(update={"often": 1.0, "distractors": (0, 4)}),
            "distractor_foregrounds": works.recipe.foregrounds,
        }
    )
    trees = []
    for workers in (1, 2):
        out = works.out()
        generate(Synthesizer.from_recipe(recipe), out, progress=False, workers=workers, limit=LIMIT)
        assert audited(out) == Audit(out, LIMIT, 3 * LIMIT, LIMIT, True, True, ())
        trees.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*.jpg")})
    assert trees[0] == trees[1] and len(trees[0]) == 3 * LIMIT

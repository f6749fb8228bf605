import json
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

from qumade.data.folder import FolderDataset
from qumade.data.statistics import statistics, write_statistics
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


@pytest.mark.parametrize("classes", [(), ("disc", "ring")])
def test_a_dataset_of_objects_has_no_problem_and_is_not_drawn_again(
    works: Any, tmp_path: Path, classes: tuple[str, ...]
) -> None:
    """Objects of one class have no name for it."""
    shutil.copytree(works.root / "foregrounds", tmp_path / "fg")
    for number, name in enumerate(classes):
        (tmp_path / "fg" / name).mkdir()
        for path in sorted((tmp_path / "fg").glob("*.png"))[: 2 - number]:
            path.rename(tmp_path / "fg" / name / path.name)
    for path in (tmp_path / "fg").glob("*.png") if classes else ():
        path.unlink()
    recipe = works.recipe.model_copy(
        update={"instances": True, "foregrounds": tmp_path / "fg", "split": (1.0, 0.0, 0.0)}
    )
    generate(recipe, tmp_path / "out", limit=10, workers=1, progress=False)
    assert audited(tmp_path / "out").problems == ()
    again = generate(recipe, tmp_path / "out", limit=12, workers=1, progress=False)
    assert again is not None and again.drawn == 2


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
    described["package"]["simplejpeg"] += ".older"
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


def edited(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    described = yaml.safe_load((root / "dataset.yaml").read_text())
    change(described)
    (root / "dataset.yaml").write_text(yaml.safe_dump(described))


def rewritten(root: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(root / "manifest.parquet")), root / "manifest.parquet")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["folders"]["masks"].update(quality=50), "folders.masks.quality 50; must be 95"),
        (lambda d: d["folders"]["masks"].update(encoder="other 1"), "folders.masks.encoder 'other 1'"),
        (lambda d: d["folders"]["masks"].update(encoder="simplejpeg 0.1"), "package.simplejpeg"),
        (lambda d: d["folders"]["masks"].pop("encoder"), "folders.masks"),
        (lambda d: d["folders"]["masks"].update(lossy=True), "unknown key folders.masks.'lossy'"),
        (lambda d: d.update(reviewed=True), "unknown key 'reviewed'"),
        (lambda d: d["recipe"].pop("crop"), "lacks the key recipe.crop"),
        (lambda d: d.update(size=[32, 25]), "size"),
        (lambda d: d["depth"].update(range=[0.0, 3.0]), "depth.range"),
        (lambda d: d["recipe"].update(seed=1), "its row differs"),
        (lambda d: d["recipe"].update(per_pair=200), "has other samples"),
    ],
)
def test_an_edited_description_is_found(dataset: Path, change: Callable[[dict[str, Any]], object], said: str) -> None:
    edited(dataset, change)
    result = audited(dataset, 0.01)  # one sample is redrawn, but every row is compared
    assert result.same_codecs or "package" in said
    assert any(said in str(problem) for problem in result.problems)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.take([1, 0, *range(2, LIMIT)]), "order"),
        (lambda table: pa.concat_tables([table, table.slice(0, 1)]), "order"),
        (lambda table: table.slice(0, 30), "has 30 rows"),
        (lambda table: table.slice(0, 0), "has 0 rows"),
    ],
)
def test_rows_that_were_moved_are_found(dataset: Path, change: Callable[[pa.Table], pa.Table], said: str) -> None:
    rewritten(dataset, change)
    for fraction in (0.0, 1.0):
        assert any(said in problem.problem for problem in audited(dataset, fraction).problems)


def with_index(table: pa.Table, value: int | None) -> pa.Table:
    values = [*table["index"].to_pylist()[:-1], value]
    return table.set_column(0, table.schema.field(0), pa.array(values, pa.int64()))


@pytest.mark.parametrize("index", [10**9, -1, 1200, None])
def test_an_index_of_no_sample_is_refused(dataset: Path, index: int | None) -> None:
    rewritten(dataset, lambda table: with_index(table, index))
    with pytest.raises(QumadeError, match=r"index.*manifest\.parquet"):
        audited(dataset)


def test_what_does_not_belong_is_found(dataset: Path, tmp_path: Path) -> None:
    (dataset / "notes.txt").write_text("mine")
    (dataset / "Thumbs.db").touch()
    shutil.move(dataset / "images", tmp_path / "images")
    (dataset / "images").symlink_to(tmp_path / "images")
    mask = some(dataset, "masks")
    shutil.move(mask, tmp_path / "mask")
    mask.symlink_to(tmp_path / "mask")
    found = {Path(problem.path).name: problem.problem for problem in audited(dataset, 0.0).problems}
    assert found.keys() == {"notes.txt", "images", mask.name}
    assert "no dataset" in found["notes.txt"] and "link" in found["images"] and "link" in found[mask.name]


def test_statistics_are_measured_again(dataset: Path) -> None:
    opened = FolderDataset(dataset)
    path = write_statistics(opened, statistics(opened, fraction=0.5, workers=1, progress=False))
    assert audited(dataset, 0.01).problems == ()
    whole = path.read_text()
    stored = json.loads(whole)
    stored["images"]["mean"][1] += 0.001
    for text in (json.dumps(stored), whole[:-9], "{}", "[1]", "null", whole.replace('"samples": 20', '"samples": 1e9')):
        path.write_text(text)
        (found,) = audited(dataset, 0.01).problems
        assert found.path == str(path)


def test_a_missing_asset_is_named_and_no_flag_of_another_verb(works: Any, tmp_path: Path) -> None:
    for folder in ("backgrounds", "foregrounds"):
        shutil.copytree(works.root / folder, tmp_path / folder)
    assets = {folder: tmp_path / folder for folder in ("backgrounds", "foregrounds")}
    generate(
        Synthesizer.from_recipe(works.recipe.model_copy(update=assets)),
        tmp_path / "out",
        limit=6,
        progress=False,
        workers=1,
    )
    gone = tmp_path / "foregrounds" / "thing_2.png"
    new = tmp_path / "foregrounds" / "thing_9.png"
    content = gone.read_bytes()
    for act, name in (
        (lambda: gone.unlink(), str(gone)),
        (lambda: gone.write_bytes(content[:-20]), f"{gone}, which is not usable any more"),
        (lambda: gone.write_bytes(content) and shutil.copy(tmp_path / "backgrounds" / "photo_0.png", new), ""),
    ):
        act()
        if not name:
            Image.open(gone).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(new)
            name = f"{new}, which is new"
        with pytest.raises(QumadeError) as caught:
            audited(tmp_path / "out")
        assert name in str(caught.value) and "--out" not in str(caught.value)


@pytest.mark.slow
def test_effects_are_drawn_again_in_every_detail(works: Any, tmp_path: Path) -> None:
    for path in works.recipe.foregrounds.iterdir():  # upside down they are something else
        with Image.open(path) as image:
            image.rotate(180).save(tmp_path / path.name)
    recipe = works.recipe.model_copy(
        update={
            "effects": Effects.all().model_copy(update={"often": 1.0, "distractors": (0, 4)}),
            "distractor_foregrounds": tmp_path,
        }
    )
    trees = []
    for workers in (1, 2):
        out = works.out()
        generate(Synthesizer.from_recipe(recipe), out, progress=False, workers=workers, limit=LIMIT)
        assert audited(out) == Audit(out, LIMIT, 3 * LIMIT, LIMIT, True, True, ())
        trees.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*.jpg")})
    assert trees[0] == trees[1] and len(trees[0]) == 3 * LIMIT

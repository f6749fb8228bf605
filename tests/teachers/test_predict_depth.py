import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from qumade.assets.catalog import Catalog
from qumade.data.opening import open_dataset
from qumade.errors import QumadeError
from qumade.generation.audit import audit
from qumade.generation.engine import generate
from qumade.generation.journal import read_journal
from qumade.generation.summary import Summary
from qumade.recipe import Recipe, load_recipe, save_recipe
from qumade.synth.build_catalog import build_catalog
from qumade.synth.synthesizer import Synthesizer
from qumade.teachers import predict_depth as module
from qumade.teachers.depth import DepthTeacher, depth_teacher
from qumade.teachers.predict_depth import teacher_depth
from qumade.viz.recipe_sheet import preview_recipe

# A process that is killed when it has predicted as many pictures as it is told.
_DRIVER = """
import os, signal, sys
from pathlib import Path
from qumade.generation.engine import generate
from qumade.recipe import load_recipe
from qumade.teachers import predict_depth as composite
from qumade.teachers.depth import DepthTeacher
left = int(sys.argv[3])
def predict(pictures, batch_size):
    global left
    left -= len(pictures)
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return [picture[..., 0].astype("float32") / 255 for picture in pictures]
composite.depth_teacher = lambda model, download: DepthTeacher("affine", "f" * 64, 2, predict)
recipe = load_recipe(Path(sys.argv[1]))
generate(recipe, sys.argv[2], workers=1, sync_interval_s=0.001, progress=False,
         depth_predictor=composite.teacher_depth(recipe))
"""


class Works:
    """Tiny assets, a teacher that calls the red of a picture its depth, and datasets made of them."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.predicted = 0
        self.teacher = DepthTeacher("affine", "f" * 64, 2, self._predict)
        monkeypatch.setattr(module, "depth_teacher", lambda model, download: self.teacher)

    def recipe(self, **fields: Any) -> Recipe:
        assets = {name: self.root / name for name in ("backgrounds", "foregrounds")}
        return Recipe(
            **{**assets, "size": (32, 24), "per_pair": 10, "depth": "composite", "depth_teacher": "a/b"} | fields
        )

    def catalog(self, recipe: Recipe) -> Catalog:
        return build_catalog(recipe)[0]

    def generate(self, out: str, kind: Any = "affine", limit: int | None = 30, **fields: Any) -> Summary | None:
        self.teacher = DepthTeacher(kind, self.teacher.fingerprint, 2, self._predict)
        recipe = self.recipe(**fields)
        return generate(
            Synthesizer(recipe, self.catalog(recipe)), self.root / out, limit=limit, workers=1, progress=False,
            depth_predictor=teacher_depth(recipe),
        )  # fmt: skip

    def _predict(self, pictures: Sequence[np.ndarray], batch_size: int) -> list[np.ndarray]:
        self.predicted += len(pictures)
        assert all(picture.flags.writeable for picture in pictures)
        return [picture[..., 0].astype(np.float32) / 255 for picture in pictures]


@pytest.fixture
def works(asset_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Works:
    return Works(asset_folders, monkeypatch)


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def red(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))[..., 0].astype(np.float64)


@pytest.mark.parametrize(("encoding", "bits"), [("jpeg", 8), ("lossless", 16)])
def test_affine_depth_is_that_of_the_image_as_written_over_its_own_range(
    works: Works, encoding: str, bits: int
) -> None:
    works.generate("out", encoding=encoding)
    dataset = open_dataset(works.root / "out")
    code = dataset.depth_encoding
    assert (code.kind, code.source, code.code, code.bits, code.range) == (
        "affine",
        "composite",
        "inverse",
        bits,
        "image",
    )
    assert code.teacher_sha256 == "f" * 64
    assert len(dataset) == works.predicted == 30
    for stem in dataset.stems:
        seen = red(dataset.path("images", str(stem)))
        wanted = (seen - seen.min()) / np.ptp(seen)
        error = np.abs(dataset.read_inverse_depth(str(stem)) - wanted)
        assert error.max() < (1e-4 if encoding == "lossless" else 0.06)  # JPEG's


def test_metric_depth_is_written_in_metres(works: Works) -> None:
    works.generate("out", "metric", encoding="lossless")
    dataset = open_dataset(works.root / "out")
    assert (dataset.depth_encoding.kind, dataset.depth_encoding.code) == ("metric", "metres")
    for stem in dataset.stems[:5]:
        seen = red(dataset.path("images", str(stem)))
        near = seen > 25
        np.testing.assert_allclose(
            dataset.read_inverse_depth(str(stem))[near], seen[near] / 255, rtol=2e-3
        )  # half a level at 1 m


def test_the_manifest_counts_what_is_nearer_than_the_range(works: Works) -> None:
    summary = works.generate("out", "metric", depth_near=0.5)
    dataset = open_dataset(works.root / "out")
    assert dataset.depth_encoding.range == (0.0, 0.5)
    recorded = pq.read_table(works.root / "out" / "manifest.parquet")["depth_clipped_px"].to_pylist()
    counted = [int((red(dataset.path("images", str(stem))) / 255 * 255 / 0.5 >= 255.5).sum()) for stem in dataset.stems]
    assert recorded == counted and sum(counted) > 0
    assert summary is not None and summary.depth_clipped_px == sum(counted)


def test_images_and_masks_are_those_of_layered_depth(works: Works) -> None:
    works.generate("composite")
    recipe = works.recipe(depth="layered", depth_teacher=None)
    generate(Synthesizer(recipe, works.catalog(recipe)), works.root / "layered", limit=30, workers=1, progress=False)
    ours, theirs = tree(works.root / "composite"), tree(works.root / "layered")
    assert ours.keys() == theirs.keys()
    assert all(ours[name] == theirs[name] for name in ours if name.startswith(("images", "masks")))


def test_the_recipe_in_the_dataset_reproduces_it(works: Works) -> None:
    works.generate("out")
    before = tree(works.root / "out")
    again = load_recipe(works.root / "out" / "dataset.yaml")
    assert again == works.recipe()
    works.generate("again", **again.model_dump(exclude={"size", "per_pair"}))
    assert tree(works.root / "again") == before


@pytest.mark.slow
def test_a_killed_prediction_resumes(works: Works) -> None:
    works.generate("whole", limit=None)
    recipe = works.recipe()
    save_recipe(recipe, works.root / "recipe.yaml")
    total, out = works.predicted, works.root / "out"
    command = [sys.executable, "-c", _DRIVER, str(works.root / "recipe.yaml"), str(out), "140"]
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == -9
    assert len(list((out / "images").iterdir())) == total == 150
    assert 128 <= len(list((out / "depth").iterdir())) < total
    assert "complete: false" in (out / "dataset.yaml").read_text()
    works.predicted = 0
    summary = works.generate("out", limit=None)
    assert summary is not None and summary.drawn == 0
    assert 0 < works.predicted <= total
    assert tree(out) == tree(works.root / "whole")
    assert works.generate("out", limit=None) is None


def test_resuming_predicts_only_the_rest(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, out, predict = works.recipe(), works.root / "out", works.teacher.predict

    def safe() -> int:
        return sum(len(part.indices) for part in read_journal(out / ".qumade" / "depth", 0))

    def interrupted(pictures: Sequence[np.ndarray], batch_size: int) -> list[np.ndarray]:
        if works.predicted == 128:  # the first chunk: once it is safe, the second is broken off
            deadline = time.monotonic() + 60
            while safe() < 128 and time.monotonic() < deadline:
                time.sleep(0.005)
            raise KeyboardInterrupt
        return predict(pictures, batch_size)

    works.teacher = DepthTeacher("affine", "f" * 64, 2, interrupted)
    composite = teacher_depth(recipe)
    with pytest.raises(KeyboardInterrupt):
        generate(
            Synthesizer(recipe, works.catalog(recipe)),
            out,
            workers=1,
            progress=False,
            sync_interval_s=0.01,
            depth_predictor=composite,
        )
    assert safe() == 128
    works.predicted = 0
    works.generate("out", limit=None)
    assert works.predicted == 150 - 128


def test_a_larger_limit_predicts_the_new_ones_only(works: Works) -> None:
    works.generate("out", limit=10)
    works.generate("out", limit=30)
    assert works.predicted == 30
    works.generate("whole", limit=30)
    assert tree(works.root / "out") == tree(works.root / "whole")


def test_other_weights_are_refused(works: Works) -> None:
    works.generate("out", limit=10)
    works.teacher = DepthTeacher("affine", "0" * 64, 2, works.teacher.predict)
    with pytest.raises(QumadeError, match=r"depth\.teacher_sha256 'ffff"):
        works.generate("out", limit=20)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_non_finite_prediction_is_refused(works: Works, monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    def predict(pictures: Sequence[np.ndarray], batch_size: int) -> list[np.ndarray]:
        return [np.full(picture.shape[:2], value, np.float32) for picture in pictures]

    monkeypatch.setattr(works, "_predict", predict)
    with pytest.raises(QumadeError, match=r"got non-finite values from a/b for .*images/img000001\.jpg"):
        works.generate("out")
    assert "complete: false" in (works.root / "out" / "dataset.yaml").read_text()


def test_recipe_and_teacher_must_agree(works: Works) -> None:
    recipe = works.recipe()
    layered = works.recipe(depth="layered", depth_teacher=None)
    with pytest.raises(QumadeError, match="must be 'composite'"):
        teacher_depth(layered)
    for one, composite in ((recipe, None), (layered, teacher_depth(recipe))):
        with pytest.raises(QumadeError, match=f"got '{one.depth}' in the recipe"):
            generate(
                Synthesizer(one, works.catalog(one)), works.root / "out", depth_predictor=composite, progress=False
            )


def test_audit_looks_at_predicted_depth_without_comparing_it(works: Works) -> None:
    works.generate("out")
    out = works.root / "out"
    assert audit(out, fraction=1, progress=False).problems == ()
    first, second = sorted((out / "depth").iterdir())[:2]
    shutil.copy(second, first)
    result = audit(out, fraction=1, progress=False)
    assert result.problems == () and not result.depth_compared and result.redrawn == 30
    first.write_bytes(b"")
    problems = audit(out, fraction=1, progress=False).problems
    assert [(problem.path, problem.problem) for problem in problems] == [(str(first), "is empty")]


def test_audit_still_compares_images(works: Works) -> None:
    works.generate("out")
    first, second = sorted((works.root / "out" / "images").iterdir())[:2]
    shutil.copy(second, first)
    problems = audit(works.root / "out", fraction=1, progress=False).problems
    assert [problem.path for problem in problems] == [str(first)]


def test_a_preview_shows_no_depth_for_predicted_depth(works: Works) -> None:
    recipe, layered = works.recipe(), works.recipe(depth="layered", depth_teacher=None)
    catalog = works.catalog(recipe)
    without, whole = preview_recipe(Synthesizer(recipe, catalog), 30), preview_recipe(Synthesizer(layered, catalog), 30)
    assert without.width * without.height < whole.width * whole.height


def test_a_real_network_predicts(asset_folders: Path, saved_model: Any) -> None:
    recipe = Recipe(
        backgrounds=asset_folders / "backgrounds",
        foregrounds=asset_folders / "foregrounds",
        size=(32, 24),
        per_pair=1,
        depth="composite",
        depth_teacher=saved_model("depth_anything"),
        encoding="lossless",
    )
    out = asset_folders / "out"
    composite = teacher_depth(recipe)
    generate(Synthesizer.from_recipe(recipe), out, limit=4, workers=1, progress=False, depth_predictor=composite)
    dataset = open_dataset(out)
    assert dataset.depth_encoding.kind == "affine"
    images = [np.array(dataset.read_image(n)) for n in range(4)]
    for n, wanted in enumerate(depth_teacher(saved_model("depth_anything")).predict(images, 1)):
        normal = (wanted - wanted.min()) / np.ptp(wanted)
        np.testing.assert_allclose(dataset.read_inverse_depth(n), normal, atol=2e-4)

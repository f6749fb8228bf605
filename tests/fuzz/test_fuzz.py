"""Some hundred damaged and hostile inputs through everything that reads files of others; `make fuzz N=...` for more.

Every input has a seed, so a failure comes back. Masks, depth and ignore are PNG here, whose checksums let a reader
notice any change: a label that differs from the truth fails. JPEG has no checksums, so of photos only the size counts.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from onnx import TensorProto, helper
from PIL import Image

from fuzz.mutate import mutated, with_hostile_value
from fuzz.verdicts import judge, seeds
from qumade.assets.depths import read_inverse_depth
from qumade.assets.labels import read_labels
from qumade.assets.scan import scan_backgrounds, scan_foregrounds
from qumade.assets.scene_layout import load_layout
from qumade.convert.importers import import_dataset
from qumade.data.manifest import MANIFEST_SCHEMA, manifest_table, plans_from_manifest, read_manifest
from qumade.data.opening import open_files
from qumade.data.shard_files import read_hash_file
from qumade.errors import DatasetError, QumadeError
from qumade.generation.audit import audit
from qumade.generation.journal import Journal, Results, read_journal
from qumade.io.decode import read_levels, read_rgb, read_rgba
from qumade.models.config import NetworkConfig
from qumade.prediction.onnx_digest import ONNX_DIGEST_KEY, UNSEALED, sealed
from qumade.prediction.predictor import ONNX_CONFIG_KEY, onnx_predictor
from qumade.recipe import Recipe, load_recipe, save_recipe
from qumade.synth.synthesizer import Synthesizer
from qumade.training.checkpoint import read_tensors, tensor_bytes

RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 256, (24, 32, 3), np.uint8)
SMOOTH = np.asarray(Image.fromarray(COLOUR[:4, :5]).resize((64, 48), Image.Resampling.BICUBIC))
DISC = np.dstack([COLOUR, np.where(np.hypot(*(np.mgrid[:24, :32] - [[[12]], [[16]]])) < 9, 255, 0).astype(np.uint8)])
IDS = RNG.integers(0, 19, (24, 32), np.uint8)
CODES = RNG.integers(256, 60000, (24, 32), np.uint16)


def each(data: bytes, path: Path, share: float, read: Callable[[], Any], named: Path, truth: Any = None) -> None:
    """Judge damages of the bytes of one file; some must be refused, and the whole file must not."""
    path.write_bytes(data)
    assert not judge(read, named, truth)
    refused = 0
    for seed in seeds(share):
        path.unlink()  # not written over: a map of the one before may still be open
        path.write_bytes(mutated(data, np.random.default_rng(seed)))
        try:
            refused += judge(read, named, truth)
        except Exception as error:
            raise AssertionError(f"seed {seed} of {path.name}: {type(error).__name__}: {error}") from error
    assert refused or len(seeds(share)) < 10
    path.write_bytes(data)


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP"])
def test_pictures(tmp_path: Path, format_name: str) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(SMOOTH).save(path, format_name)
    truth = read_rgb(path)
    checked = format_name == "PNG"
    each(
        path.read_bytes(),
        path,
        0.04,
        lambda: read_rgb(path) if checked else read_rgb(path).dtype,
        path,
        truth if checked else truth.dtype,
    )


@pytest.mark.parametrize(
    ("pixels", "read"),
    [
        (DISC, lambda path: read_rgba(path)),
        (IDS, lambda path: read_levels(path)),
        (IDS, lambda path: read_labels(path, (32, 24))),
        (CODES, lambda path: read_inverse_depth(path, (32, 24), "metric")),
    ],
    ids=["cut-out", "levels", "labels", "depth"],
)
def test_maps(tmp_path: Path, pixels: np.ndarray, read: Callable[[Path], Any]) -> None:
    path = tmp_path / "map.png"
    Image.fromarray(pixels).save(path)
    each(path.read_bytes(), path, 0.04, lambda: read(path), path, read(path))


@pytest.mark.parametrize("kind", ["labels", "depth"])
def test_arrays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "map.npy"
    np.save(path, IDS if kind == "labels" else (1 / (1 + CODES.astype(np.float32))))

    def read() -> Any:
        found = read_labels(path, (32, 24)) if kind == "labels" else read_inverse_depth(path, (32, 24), "metric")
        return found.shape  # .npy has no checksums

    each(path.read_bytes(), path, 0.04, read, path, (24, 32))


def test_folders_of_assets(tmp_path: Path) -> None:
    """A scan of a folder raises nothing at all: an unusable file is a finding, and the others are used."""
    for name in ("a.png", "b.png"):
        Image.fromarray(DISC).save(tmp_path / name)
    whole = (tmp_path / "a.png").read_bytes()
    for seed in seeds(0.05):
        (tmp_path / "a.png").write_bytes(mutated(whole, np.random.default_rng(seed)))
        for scan in (scan_foregrounds, scan_backgrounds):
            usable, findings = scan(tmp_path, workers=1)
            errors = [found for found in findings if found.severity == "error"]
            assert len(usable) + len(errors) == 2 and usable[-1].path.name == "b.png", seed
            assert all("a.png" in found.path for found in errors), seed


@pytest.fixture(scope="module")
def written(works: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated dataset, lossless, of six samples."""
    recipe = works.recipe.model_copy(update={"encoding": "lossless"})
    from qumade.generation.engine import generate

    out = tmp_path_factory.mktemp("written") / "dataset"
    generate(Synthesizer(recipe, works.catalog), out, limit=6, workers=1, progress=False)
    return out


def _labels(root: Path) -> dict[str, Any]:
    dataset = open_files(root)
    samples = [dataset.read(position) for position in range(len(dataset))]
    return {
        "stems": dataset.stems.tolist(),
        "splits": dataset.splits.tolist(),
        "images": [sample.image for sample in samples],
        "masks": [sample.mask for sample in samples],
        "depth": [sample.inverse_depth for sample in samples],
    }


@pytest.mark.parametrize("folder", ["images", "masks", "depth", "."])
def test_datasets(written: Path, tmp_path: Path, folder: str) -> None:
    root = tmp_path / "dataset"
    shutil.copytree(written, root)
    path = root / "manifest.parquet" if folder == "." else sorted((root / folder).iterdir())[3]
    each(path.read_bytes(), path, 0.04, lambda: _labels(root), path, _labels(root))


def test_descriptions(written: Path, tmp_path: Path) -> None:
    _fuzz_description(written, tmp_path / "dataset", 0.05)


def _fuzz_description(dataset: Path, root: Path, share: float) -> None:
    """dataset.yaml has no checksum: it must be refused by name, or leave what it does not describe."""
    shutil.copytree(dataset, root)
    path = root / "dataset.yaml"
    truth = {key: value for key, value in _labels(root).items() if key != "depth"}

    def read() -> dict[str, Any]:
        return {key: value for key, value in _labels(root).items() if key != "depth"}

    each(path.read_bytes(), path, share, read, root, truth)
    described = yaml.safe_load(path.read_text())
    for seed in seeds(share):
        path.write_text(yaml.safe_dump(with_hostile_value(described, np.random.default_rng(seed))))
        judge(read, root, truth)


@pytest.fixture(scope="module")
def shards(works: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated dataset in shards, lossless, of six samples, three in a shard."""
    recipe = works.recipe.model_copy(update={"encoding": "lossless"})
    from qumade.generation.shard_engine import generate_shards

    out = tmp_path_factory.mktemp("shards") / "dataset"
    synthesizer = Synthesizer(recipe, works.catalog)
    generate_shards(synthesizer, out, limit=6, samples_per_shard=3, workers=1, progress=False)
    return out


@pytest.mark.parametrize("ending", [".tar", ".parquet", "index.json"])
def test_shards(shards: Path, tmp_path: Path, ending: str) -> None:
    """Reading holds rows against their hash and pictures against their checksums; index.json has none, so a value that
    matters must agree with others."""
    root = tmp_path / "dataset"
    shutil.copytree(shards, root)
    path = next(path for path in sorted(root.rglob("*")) if path.name.endswith(ending))
    truth = _labels(root)
    # A shard whose place is wrong is named, or the folder.
    each(path.read_bytes(), path, 0.04, lambda: _labels(root), root if ending == "index.json" else path, truth)
    if ending == "index.json":
        values = json.loads(path.read_text())
        for seed in seeds(0.04):
            path.write_text(json.dumps(with_hostile_value(values, np.random.default_rng(seed))))
            judge(lambda: _labels(root), root, truth)


def test_hash_files_of_shards(shards: Path, tmp_path: Path) -> None:
    """A hash file is whole or torn: resuming draws the shard of a torn one again."""
    path = tmp_path / "train-000000.sha256"
    whole = next(iter(sorted(shards.rglob("*.sha256")))).read_bytes()

    def read() -> Any:
        return read_hash_file(path.read_bytes(), str(path)).model_dump()

    path.write_bytes(whole)
    each(whole, path, 0.04, read, path, read())


def test_audits_of_shards(shards: Path, tmp_path: Path) -> None:
    """An audit finds every changed byte of a shard."""
    root = tmp_path / "dataset"
    shutil.copytree(shards, root)
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != "dataset.yaml")
    for seed in seeds(0.03):
        random = np.random.default_rng(seed)
        path = files[seed % len(files)]
        whole = path.read_bytes()
        damaged = mutated(whole, random)
        path.write_bytes(damaged)
        try:
            found = audit(root, fraction=0.2, progress=False)
            assert bool(found.problems) == (damaged != whole), f"seed {seed} of {path.name}: {found.problems}"
        except QumadeError as error:
            assert str(root) in str(error) and str(error).isprintable(), f"seed {seed} of {path.name}: {error}"
        path.write_bytes(whole)


def test_descriptions_of_shards(shards: Path, tmp_path: Path) -> None:
    _fuzz_description(shards, tmp_path / "dataset", 0.03)


def test_values_of_manifests(works: Any, written: Path, tmp_path: Path) -> None:
    """No value of a manifest reaches compiled code unchecked."""
    synthesizer = Synthesizer(works.recipe, works.catalog)
    path = tmp_path / "manifest.parquet"
    rows = next(read_manifest(written / "manifest.parquet")).to_pylist()
    for seed in seeds(0.1):
        try:
            table = pa.Table.from_pylist(with_hostile_value(rows, np.random.default_rng(seed)), MANIFEST_SCHEMA)
        except (pa.ArrowException, ValueError, TypeError, OverflowError, AttributeError):
            continue  # no parquet file can hold it
        pq.write_table(table, path)

        def read(seed: int = seed) -> None:
            for group in read_manifest(path):
                plans = plans_from_manifest(synthesizer, group)
                planned = synthesizer.plan(group["index"].to_numpy())
                visible = np.full(plans.objects.shape, np.nan, np.float32)
                manifest_table(synthesizer, planned, visible, np.zeros(len(plans), np.int32))
                for n in range(len(plans)):
                    synthesizer.render(plans[n])

        try:
            judge(read, path)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error


def test_recipes(works: Any, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    save_recipe(works.recipe, path)
    whole = path.read_bytes()
    each(whole, path, 0.05, lambda: isinstance(load_recipe(path), Recipe), path, True)
    fields = yaml.safe_load(whole)
    for seed in seeds(0.05):
        path.write_text(yaml.safe_dump(with_hostile_value(fields, np.random.default_rng(seed))))
        judge(lambda: isinstance(load_recipe(path), Recipe), path, True)


def test_layouts(tmp_path: Path) -> None:
    path = tmp_path / "layout.yaml"
    whole = yaml.safe_dump(
        {"format": "qumade-layout/1", "pictures": 3, "number": [0, 3], "size_and_row": [[1, 2], [3]]}
    )
    for seed in seeds(0.04):
        path.write_bytes(mutated(whole.encode(), np.random.default_rng(seed)))
        judge(lambda: load_layout(path), path)


def test_coco(tmp_path: Path) -> None:
    root, out = tmp_path / "coco", tmp_path / "out"
    (root / "train").mkdir(parents=True)
    (root / "annotations").mkdir()
    Image.fromarray(COLOUR).save(root / "train" / "a.png")
    labels = {
        "images": [{"id": 1, "file_name": "a.png", "width": 32, "height": 24}],
        "categories": [{"id": 7, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "iscrowd": 0, "segmentation": [[4, 4, 20, 4, 20, 16, 4, 16]],
             "bbox": [4, 4, 16, 12], "area": 192},
            {"id": 2, "image_id": 1, "category_id": 7, "iscrowd": 1, "bbox": [0, 20, 32, 4], "area": 128,
             "segmentation": {"size": [24, 32], "counts": [20, 4] * 32}},
        ],
    }  # fmt: skip
    path = root / "annotations" / "instances_train.json"

    def read() -> Any:
        shutil.rmtree(out, ignore_errors=True)
        import_dataset("coco", root, out, workers=1, progress=False)
        return [each.shape for each in _labels(out)["images"]]

    whole = json.dumps(labels)
    path.write_text(whole)
    assert not judge(read, root, [(24, 32, 3)])
    for seed in seeds(0.1):
        random = np.random.default_rng(seed)
        if seed % 4:
            path.write_text(json.dumps(with_hostile_value(labels, random)))
        else:
            path.write_bytes(mutated(whole.encode(), random))
        try:
            judge(read, root, [(24, 32, 3)])
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error


def test_weights(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    tensors = {"weight": torch.arange(12.0).view(3, 4), "count": torch.tensor(3)}
    data = tensor_bytes(tensors, {"step": 4})

    def read() -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in read_tensors(path)[0].items()}

    each(data, path, 0.07, read, path, {name: value.numpy() for name, value in tensors.items()})


def test_onnx_files(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, "h", "w"]) for name in ("mask", "inverse_depth")
    ]
    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["mask"], keepdims=1),
        helper.make_node("ReduceMax", ["image", "axes"], ["inverse_depth"], keepdims=1),
    ]
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    model = helper.make_model(
        helper.make_graph(nodes, "means", [image], outputs, [axes]), opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )  # fmt: skip
    config = NetworkConfig(size=(64, 32), inverse_depth_limits=(0.0, 2.0), depth_kind="scaled")
    helper.set_model_props(model, {ONNX_CONFIG_KEY: config.model_dump_json(), ONNX_DIGEST_KEY: UNSEALED})
    onnx.checker.check_model(model)
    batch = RNG.random((1, 3, 32, 64), np.float32)

    def read() -> tuple[np.ndarray, np.ndarray]:
        return onnx_predictor(path, "cpu").forward(batch)

    data = sealed(model.SerializeToString())
    each(data, path, 0.07, read, path, (batch.mean(1, keepdims=True), batch.max(1, keepdims=True)))


def test_journals(tmp_path: Path) -> None:
    """What is read of a damaged journal is how it began."""
    path = tmp_path / "journal"
    parts = [
        Results(
            np.arange(n, n + 3),
            np.full((3, 2), n / 10, np.float32),
            np.arange(3, dtype=np.int32),
            np.arange(n, n + 24, dtype=np.int32).reshape(3, 2, 4),
        )
        for n in (0, 3, 6)
    ]
    for part in parts:
        journal = Journal(path, 2, 60)
        journal.add(part)
        journal.close(sync=True)
    whole = path.read_bytes()
    for seed in seeds(0.06):
        path.write_bytes(mutated(whole, np.random.default_rng(seed)))
        found = read_journal(path, 2)
        for got, expected in zip(found, parts, strict=False):
            np.testing.assert_array_equal(got.indices, expected.indices, err_msg=f"seed {seed}")
            np.testing.assert_array_equal(got.visible_fraction, expected.visible_fraction, err_msg=f"seed {seed}")
            np.testing.assert_array_equal(got.visible_box, expected.visible_box, err_msg=f"seed {seed}")


def test_the_verdicts_can_fail(tmp_path: Path) -> None:
    path = tmp_path / "file.png"

    def fails(error: Exception) -> Callable[[], None]:
        def read() -> None:
            raise error

        return read

    assert judge(fails(DatasetError(f"Invalid file: got nothing in {path}")), path)
    for read, truth in (
        (fails(QumadeError("Invalid file")), None),
        (fails(QumadeError(f"Invalid {path}\nline")), None),
        (fails(ValueError(str(path))), None),
        (lambda: np.array([1, 2]), np.array([1, 3])),
    ):
        with pytest.raises((AssertionError, ValueError)):
            judge(read, path, truth)

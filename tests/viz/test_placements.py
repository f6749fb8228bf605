from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from qumade.data.opening import open_dataset
from qumade.errors import QumadeError
from qumade.viz.placements import GRID, count_masks, count_placements, write_placements

MakeDataset = Callable[..., Path]
SavePicture = Callable[[Path, np.ndarray], None]
SCALED = {"depth": {"kind": "scaled", "code": "inverse", "bits": 8, "range": [0.0, 1.5]}}
NUMBERS = ("left", "top", "width", "height", "contact_u", "contact_v", "visible_fraction")


def thing(**values: Any) -> dict[str, Any]:
    """Returns an object whose box is 0.3 of the sides of the image (100x100), around its centre."""
    usual = dict(zip(NUMBERS, (35.0, 35.0, 30.0, 30.0, 50.0, 65.0, 1.0), strict=True))
    rejected = {"horizon": 0, "hidden": 0}
    return {**usual, "policy": "random", "fallback": False, "rejected": rejected, **values}


def write_manifest(root: Path, rows: list[tuple[str | None, list[dict[str, Any]]]]) -> None:
    rejected = pa.struct([("horizon", pa.int32()), ("hidden", pa.int32())])
    fields = [(name, pa.float64()) for name in NUMBERS]
    names = pa.dictionary(pa.int32(), pa.string())  # in the form that generate writes
    struct = pa.struct([*fields, ("policy", names), ("fallback", pa.bool_()), ("rejected", rejected)])
    schema = pa.schema([("index", pa.int64()), ("stem", pa.string()), ("split", names), ("objects", pa.list_(struct))])
    content = [
        {"index": index, "stem": f"img{index + 1:06d}", "split": split, "objects": things}
        for index, (split, things) in enumerate(rows)
    ]
    pq.write_table(pa.Table.from_pylist(content, schema=schema), root / "manifest.parquet", row_group_size=2)


def make(make_dataset: MakeDataset, rows: list[tuple[str | None, list[dict[str, Any]]]]) -> Path:
    root = make_dataset(len(rows), size=(100, 100), meta=SCALED)
    write_manifest(root, rows)
    return root


def test_objects_are_counted_at_their_positions(make_dataset: MakeDataset) -> None:
    rows: list[tuple[str | None, list[dict[str, Any]]]] = [
        ("train", [thing(), thing(left=-30.0, width=40.0, height=10.0, visible_fraction=0.25)]),
        ("train", []),
        ("val", [thing(policy="perspective", fallback=True, rejected={"horizon": 3, "hidden": 2})]),
        (None, [thing(width=300.0, height=300.0, contact_u=1000.0, rejected={"horizon": 1, "hidden": 0})]),
    ]
    counts = count_placements(open_dataset(make(make_dataset, rows)))
    assert (counts.samples, counts.objects, counts.fallbacks, counts.size) == (4, 4, 1, (100, 100))
    assert counts.splits == Counter({"train": 2, "val": 1, "none": 1})
    assert counts.policies == Counter({"random": 3, "perspective": 1})
    assert counts.rejections == Counter({"horizon": 4, "hidden": 2})
    assert (counts.scale[15], counts.scale[10], counts.scale[-1], counts.scale.sum()) == (2, 1, 1, 4)
    assert (counts.visible[-1], counts.visible[12], counts.visible.sum()) == (3, 1, 4)
    middle = GRID // 2
    assert counts.centres[middle, middle] == 2
    assert counts.centres[int((0.40 + 0.25) / 1.5 * GRID), int((-0.10 + 0.25) / 1.5 * GRID)] == 1
    assert counts.centres.sum() == 3  # the fourth is outside the plotted range
    assert counts.contacts[int((0.65 + 0.25) / 1.5 * GRID), middle] == 3
    assert counts.contacts.sum() == 3


def test_many_row_groups_add_up(make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(make_dataset, [("train", [thing()] * (index % 3)) for index in range(11)])
    whole = count_placements(open_dataset(root))
    monkeypatch.setattr("qumade.viz.placements.ROWS", 3)
    parts = count_placements(open_dataset(root))
    assert whole.objects == parts.objects == 10
    np.testing.assert_array_equal(whole.centres, parts.centres)
    assert whole.splits == parts.splits == Counter({"train": 11})


def test_a_damaged_unknown_or_short_manifest_is_named(make_dataset: MakeDataset) -> None:
    root = make(make_dataset, [("train", [thing()])] * 3)
    path = root / "manifest.parquet"
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"PAR1" + bytes(100) + b"PAR1"):
        path.write_bytes(content)
        with pytest.raises(QumadeError, match=f"cannot read {path}"):
            count_placements(open_dataset(root))
    for objects in ([3], [[{"left": "x"}]]):
        stems = [f"img{n:06d}" for n in (1, 2, 3)]
        pq.write_table(pa.table({"stem": stems, "split": ["train"] * 3, "objects": objects * 3}), path)
        with pytest.raises(QumadeError, match=f"damaged or unknown one in {path}"):
            count_placements(open_dataset(root))
    write_manifest(root, [("train", [thing()])])
    with pytest.raises(QumadeError, match=r"got no row for 'img000002' in .*manifest.parquet"):
        count_placements(open_dataset(root))


def test_masks_are_measured_without_a_manifest(make_dataset: MakeDataset, save_picture: SavePicture) -> None:
    root = make_dataset(2, size=(120, 60), folders=("images", "masks"))
    mask = np.zeros((60, 120), np.uint8)
    save_picture(root / "masks" / "img000001.png", mask)
    mask[30:, :60] = 255
    save_picture(root / "masks" / "img000002.png", mask)
    counts = count_masks(open_dataset(root))
    np.testing.assert_array_equal(counts.area_share, [0, 0.25])
    wanted = np.zeros((GRID, GRID))
    wanted[30:, :30] = 0.5
    np.testing.assert_allclose(counts.mean_mask, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("manifest", [True, False])
def test_the_plot_is_a_png_with_equal_bytes_each_time(
    make_dataset: MakeDataset, tmp_path: Path, manifest: bool
) -> None:
    root = make(make_dataset, [("train", [thing()])] * 2)
    if not manifest:
        (root / "manifest.parquet").unlink()
    for name in ("a.png", "b.png"):
        write_placements(open_dataset(root), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        assert picture.width >= 1000
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 50


def test_a_dataset_without_objects_is_drawn(make_dataset: MakeDataset, tmp_path: Path) -> None:
    write_placements(open_dataset(make(make_dataset, [(None, [])])), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_neither_manifest_nor_masks_is_refused(make_dataset: MakeDataset, tmp_path: Path) -> None:
    dataset = open_dataset(make_dataset(1, folders=("images", "depth"), meta=SCALED))
    with pytest.raises(QumadeError, match=r"neither manifest.parquet nor masks/"):
        write_placements(dataset, tmp_path / "a.png")

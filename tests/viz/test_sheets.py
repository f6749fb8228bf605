from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fixtures.pictures import count
from qumade.data.opening import open_dataset
from qumade.errors import DatasetError, QumadeError
from qumade.viz.sheets import (
    CELL,
    OUTLINE,
    UNKNOWN,
    SheetRow,
    SheetStyle,
    class_colour,
    contact_sheet,
    depth_legend,
    preview_dataset,
    save_sheet,
    with_objects,
)

PLAIN = SheetStyle(outline=False)
MakeDataset = Callable[..., Path]
SavePicture = Callable[[Path, np.ndarray], None]


def row(height: int = 64, width: int = 64, *, colour: tuple[int, int, int] = (10, 200, 30)) -> SheetRow:
    image = np.full((height, width, 3), colour, np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2, width // 4 : width // 2] = 255
    depth = np.repeat(np.linspace(0, 1, height, dtype=np.float32)[:, None], width, 1)
    return SheetRow(image, mask, depth, "img000001")


def test_every_pixel_of_image_mask_and_depth_is_on_the_sheet() -> None:
    sheet = contact_sheet([row()], inverse_depth_limits=(0, 1), style=PLAIN)
    scaled = (CELL // 64) ** 2
    assert sheet.mode == "RGB"
    assert count(sheet, (10, 200, 30)) == 64 * 64 * scaled
    assert count(sheet, (255, 255, 255)) == 16 * 16 * scaled


def test_the_outline_is_the_boundary_of_the_mask() -> None:
    plain, outlined = contact_sheet([row(192, 192)], style=PLAIN), contact_sheet([row(192, 192)])
    assert count(plain, OUTLINE) == 0
    assert count(outlined, OUTLINE) == 4 * 48 - 4


def test_pictures_have_the_side_that_is_wanted() -> None:
    large, small = (contact_sheet([row(64, 128)], style=SheetStyle(side=side, outline=False)) for side in (512, 40))
    assert count(large, (10, 200, 30)) == 16 * 64 * 128
    assert 0.9 * 800 < count(small, (10, 200, 30)) <= 800  # 40 x 20 px
    for side in (31, 5000):
        with pytest.raises(QumadeError, match=f"Invalid side: got {side}; must be from 32 to 4096"):
            SheetStyle(side=side)


def test_a_zoom_adds_two_enlarged_seams() -> None:
    plain, zoomed = (contact_sheet([row()], style=SheetStyle(outline=False, zoom=zoom)) for zoom in (False, True))
    assert count(zoomed, (10, 200, 30)) - count(plain, (10, 200, 30)) == 2 * CELL * CELL
    bare = SheetRow(row().image, None, None, "")
    assert contact_sheet([bare], style=SheetStyle(zoom=True)).tobytes() == contact_sheet([bare]).tobytes()


def test_depth_is_coloured_over_the_given_range_for_all_rows() -> None:
    def depth_cell(sheet: Image.Image) -> np.ndarray:
        return np.asarray(sheet)[52 : 52 + CELL, 16 + 2 * (CELL + 4) : 16 + 3 * CELL + 8]

    half = SheetRow(row().image, row().mask, np.full((64, 64), 0.5, np.float32), "")
    quarter = SheetRow(row().image, row().mask, np.full((64, 64), 0.25, np.float32), "")
    cells = [depth_cell(contact_sheet([half], inverse_depth_limits=span)) for span in ((0, 1), (0, 0.5), (0, 2))]
    brightness = [float(cell.mean()) for cell in cells]
    assert all(cell.std((0, 1)).max() == 0 for cell in cells)
    assert brightness[2] < brightness[0] < brightness[1]
    np.testing.assert_array_equal(cells[2], depth_cell(contact_sheet([quarter], inverse_depth_limits=(0, 1))))


def test_unknown_depth_has_its_own_colour() -> None:
    depth = np.ones((64, 64), np.float32)
    depth[:32] = np.nan
    known, unknown = row(), SheetRow(row().image, None, depth, "")
    extra = count(contact_sheet([unknown]), UNKNOWN) - count(contact_sheet([known]), UNKNOWN)
    assert extra == 32 * 64 * (CELL // 64) ** 2
    contact_sheet([SheetRow(row().image, None, np.full((64, 64), np.nan, np.float32), "")])


@given(
    shapes=st.lists(st.tuples(st.integers(1, 1100), st.integers(1, 1100)), min_size=1, max_size=4),
    caption=st.text(max_size=200),
)
@settings(max_examples=15, deadline=None)
def test_any_sizes_and_captions_fit_a_sheet_of_bounded_width(shapes: list[tuple[int, int]], caption: str) -> None:
    rows = [SheetRow(r.image, r.mask, r.inverse_depth, caption) for r in (row(*shape) for shape in shapes)]
    sheet = contact_sheet(rows, title=caption)
    assert 640 <= sheet.width <= 1840
    assert sheet.height <= 60 + len(rows) * (CELL + 24)


def test_masks_and_depth_may_be_missing() -> None:
    whole, bare = contact_sheet([row()] * 3), contact_sheet([SheetRow(row().image, None, None, "")] * 3)
    assert bare.width < whole.width
    with pytest.raises(QumadeError, match="no sample"):
        contact_sheet([])


@pytest.mark.slow
def test_a_preview_takes_one_sample_of_each_part(make_dataset: MakeDataset, save_picture: SavePicture) -> None:
    root = make_dataset(12, folders=("images", "masks"))
    for index in range(12):
        save_picture(root / "images" / f"img{index + 1:06d}.png", np.full((9, 12, 3), (index + 1, 99, 7), np.uint8))
        save_picture(root / "masks" / f"img{index + 1:06d}.png", np.zeros((9, 12), np.uint8))
    dataset = open_dataset(root)

    def shown(seed: int) -> list[int]:
        sheet = preview_dataset(dataset, 4, seed=seed)
        return [index for index in range(12) if count(sheet, (index + 1, 99, 7))]

    assert [index // 3 for index in shown(0)] == [0, 1, 2, 3]
    assert shown(0) == shown(0)
    assert len({tuple(shown(seed)) for seed in range(6)}) > 1
    assert preview_dataset(dataset, 1000).size == preview_dataset(dataset, 12).size
    with pytest.raises(QumadeError, match="got 0 samples"):
        preview_dataset(dataset, 0)


def test_a_metric_dataset_is_coloured_over_one_range(make_dataset: MakeDataset, save_picture: SavePicture) -> None:
    metres = {"depth": {"kind": "metric", "code": "metres", "bits": 16, "depth_scale": 256}}
    root = make_dataset(2, size=(16, 16), depth_bits=16, meta=metres)
    for index, code in enumerate((512, 5120)):
        save_picture(root / "depth" / f"img{index + 1:06d}.png", np.full((16, 16), code, np.uint16))
    pixels = np.asarray(preview_dataset(open_dataset(root)))
    near, far = pixels[60:244, 420:590], pixels[60:244, 420 + 600 : 590 + 600]
    assert near.std((0, 1)).max() == far.std((0, 1)).max() == 0
    assert near.mean() > far.mean() + 50


@pytest.mark.parametrize(
    ("kind", "words"), [("metric", "1/m"), ("scaled", "one factor"), ("affine", "shift"), (None, "unknown")]
)
def test_the_legend_names_the_kind_and_metres_only_for_metric(kind: str | None, words: str) -> None:
    assert words in depth_legend(kind)
    assert ("1/m" in depth_legend(kind)) == (kind == "metric")
    assert depth_legend(kind, "prior").endswith(", prior")


def test_a_sheet_is_written_whole_or_not_at_all(tmp_path):
    sheet = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    save_sheet(sheet, tmp_path / "sheet.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "sheet.png")), np.asarray(sheet))
    with pytest.raises(QumadeError, match=rf"cannot write {tmp_path}/missing/sheet\.png"):
        save_sheet(sheet, tmp_path / "missing" / "sheet.png")


def test_objects_are_outlined_in_the_colours_of_their_classes():
    instances = np.zeros((96, 96), np.uint16)
    instances[10:30, 10:30], instances[50:80, 40:90] = 1, 2
    row = SheetRow(np.zeros((96, 96, 3), np.uint8), np.uint8(255) * (instances > 0), None, "one")
    shown = with_objects(row, instances, np.array([1, 0]), np.array([[10, 10, 20, 20], [40, 50, 50, 30]]))
    assert shown.boxes == ((1, (10.0, 10.0, 20.0, 20.0)), (0, (40.0, 50.0, 50.0, 30.0)))
    sheet = contact_sheet([shown], classes=("car", "person"))
    factor = 4  # from 96 pixels to 192 px: lengths and areas, and a colour fills mask and outline
    assert count(sheet, class_colour(1)) >= factor * 20 * 20
    assert count(sheet, class_colour(0)) >= factor * 50 * 30
    without = contact_sheet([shown], style=PLAIN)
    assert count(without, class_colour(1)) < count(sheet, class_colour(1))


def test_instances_without_a_row_in_the_manifest_are_refused():
    row = SheetRow(np.zeros((4, 4, 3), np.uint8), None, None, "img7")
    with pytest.raises(DatasetError, match="got number 3 in img7; must be at most 1"):
        with_objects(row, np.full((4, 4), 3, np.uint16), np.array([0]), np.zeros((1, 4)))

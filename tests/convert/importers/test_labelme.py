import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fixtures.imports import NoticesChanges
from qumade.convert.importers.labelme import read_labelme
from qumade.errors import QumadeError

pytest.importorskip("pycocotools")


def write(root: Path, *shapes: dict[str, Any], image: str = "a.jpg") -> Path:
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(root / "a.jpg")
    (root / "a.json").write_text(json.dumps({"imagePath": image, "imageData": None, "shapes": list(shapes)}))
    return root


def rectangle(label: str, *corners: list[float], **more: Any) -> dict[str, Any]:
    return {"label": label, "points": list(corners), "shape_type": "rectangle", **more}


def test_polygons_rectangles_and_masks_are_their_pixels(tmp_path: Path) -> None:
    inside = np.zeros((3, 4), bool)
    inside[1:, 1:] = True
    buffer = io.BytesIO()
    Image.fromarray(inside).save(buffer, "png")
    mask = {
        "label": "van", "shape_type": "mask", "points": [[20, 10], [23, 12]],
        "mask": base64.b64encode(buffer.getvalue()).decode(),
    }  # fmt: skip
    polygon = {"label": "car", "points": [[2, 2], [8, 2], [8, 6], [2, 6]], "group_id": None}
    source = read_labelme(write(tmp_path, polygon, rectangle("car", [14, 8], [10, 4]), mask), ("car", "van"))
    labels = source.records[0].read_labels((20, 30))
    expected = np.zeros((20, 30), int)
    expected[2:6, 2:8], expected[4:8, 10:14], expected[11:13, 21:24] = 1, 2, 3
    np.testing.assert_array_equal(labels.instances, expected)
    assert labels.object_classes == {1: 0, 2: 0, 3: 1}


def test_a_circle_has_its_area(tmp_path: Path) -> None:
    circle = {"label": "car", "shape_type": "circle", "points": [[15, 10], [15, 18]]}
    labels = read_labelme(write(tmp_path, circle)).records[0].read_labels((20, 30))
    assert (labels.mask == 255).sum() == pytest.approx(np.pi * 8**2, rel=0.04)


def test_shapes_of_one_group_are_one_object(tmp_path: Path) -> None:
    parts = [rectangle("car", [x, 1], [x + 4, 5], group_id=7) for x in (1, 10)]
    labels = read_labelme(write(tmp_path, *parts, rectangle("car", [20, 1], [24, 5]))).records[0].read_labels((20, 30))
    assert np.unique(labels.instances).tolist() == [0, 1, 2]
    assert (labels.instances == 1).sum() == 32


def test_a_line_is_no_object(tmp_path: Path) -> None:
    line = {"label": "car", "shape_type": "line", "points": [[1, 1], [5, 5]]}
    with pytest.raises(QumadeError, match=r"got a line of 'car' in .*a\.json; must be a polygon"):
        read_labelme(write(tmp_path, line)).records[0].read_labels((20, 30))
    other = read_labelme(write(tmp_path, line | {"label": "lane"}, rectangle("car", [1, 1], [3, 3])))
    assert (other.records[0].read_labels((20, 30)).mask == 255).sum() == 4


@pytest.mark.parametrize("image", ["../secret.jpg", "/etc/passwd"])
def test_an_image_elsewhere_is_not_read(tmp_path: Path, image: str) -> None:
    (tmp_path / "inner").mkdir()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "secret.jpg")
    root = write(tmp_path / "inner", rectangle("car", [1, 1], [3, 3]), image=image)
    if image.startswith(".."):
        with pytest.raises(QumadeError, match=r"got '\.\./secret\.jpg' in .*a\.json; must be a file below"):
            read_labelme(root)
    else:  # another program's absolute path: the image beside the file is taken
        assert read_labelme(root).records[0].image == root / "a.jpg"


def covered(root: Path, *classes: str) -> np.ndarray:
    (record,) = read_labelme(root, classes or ("car",)).records
    mask = record.read_labels((20, 30)).mask
    assert mask is not None
    return mask == 255


def test_a_photo_of_another_size_than_its_shapes_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path, rectangle("car", [1, 1], [9, 9]))
    path = root / "a.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"imageHeight": 20, "imageWidth": 30}))
    assert covered(root).sum() == 64
    path.write_text(json.dumps(content | {"imageHeight": 30, "imageWidth": 20}))
    with pytest.raises(QumadeError, match=r"Invalid imageHeight: got 30 in .*a\.json; must be 20 as its image has"):
        covered(root)


def test_a_rectangle_may_have_four_corners(tmp_path: Path) -> None:
    expected = np.zeros((20, 30), bool)
    expected[2:6, 3:9] = True
    shape = rectangle("car", [3, 2], [9, 2], [9, 6], [3, 6])
    np.testing.assert_array_equal(covered(write(tmp_path, shape)), expected)
    turned = {**shape, "shape_type": "oriented_rectangle"}
    np.testing.assert_array_equal(covered(write(tmp_path, turned)), expected)


@pytest.mark.parametrize("level", [1, 255])
def test_masks_are_zeros_and_ones_as_labelme_writes_them(tmp_path: Path, level: int) -> None:
    inside = np.zeros((4, 5), np.uint8)
    inside[1:3, 2:] = level
    buffer = io.BytesIO()
    Image.fromarray(inside).save(buffer, "png")
    mask = {"label": "car", "shape_type": "mask", "points": [[10.0, 7.0], [14.0, 10.0]]}
    root = write(tmp_path, mask | {"mask": base64.b64encode(buffer.getvalue()).decode()})
    expected = np.zeros((20, 30), bool)
    expected[8:10, 12:15] = True
    np.testing.assert_array_equal(covered(root), expected)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0.1, 0.1], [0.9, 0.9]], r"shares instead of pixels"),
        ([[5, 5], [60, 9]], r"points from 5, 5 to 60, 9, outside of 30x20 pixels"),
        ([[-9, 5], [6, 9]], "outside of 30x20"),
        ([[5, 5]], "which have no area"),
        ([[5, 5], [5, 9]], "which have no area"),
    ],
)
@pytest.mark.parametrize("label", ["car", "other"])
def test_shapes_that_cannot_be_those_of_the_image_are_refused(
    tmp_path: Path, points: list[list[float]], message: str, label: str
) -> None:
    root = write(tmp_path, rectangle("car", [1, 1], [3, 3]), rectangle(label, *points))
    with pytest.raises(QumadeError, match=rf"Invalid shape: got .*{message}.* as shape 2 in .*a\.json"):
        covered(root)


def test_a_label_that_means_ignore_is_unknown(tmp_path: Path) -> None:
    root = write(tmp_path, rectangle("car", [1, 1], [9, 9]), rectangle("__ignore__", [5, 1], [12, 9]))
    (record,) = read_labelme(root).records
    labels = record.read_labels((20, 30))
    assert record.uncertain
    assert (labels.mask == 255).sum() == 4 * 8 and labels.ignore.sum() == 7 * 8 and not labels.in_front.any()


def test_two_files_of_one_image_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path, rectangle("car", [1, 1], [9, 9]))
    (root / "b.json").write_bytes((root / "a.json").read_bytes())
    with pytest.raises(QumadeError, match=r"got .*a\.json and .*b\.json, both of the image a\.jpg"):
        read_labelme(root)


def test_images_without_a_file_are_named_and_leftovers_are_not_read(tmp_path: Path) -> None:
    root = write(tmp_path, rectangle("car", [1, 1], [9, 9]))
    (root / ".ipynb_checkpoints").mkdir()
    (root / ".ipynb_checkpoints" / "a-checkpoint.json").write_bytes((root / "a.json").read_bytes())
    (root / "._a.json").write_bytes(b"\0\5\x16\7")
    assert not read_labelme(root).notes
    (root / "more").mkdir()
    Image.new("RGB", (4, 4)).save(root / "more" / "b.png")
    assert read_labelme(root).notes == (f"1 image of {root} is left out, without a JSON file: more/b.png",)


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    with pytest.raises(QumadeError, match=r"as shape 1 in .*a\.json; must be a polygon"):
        read_labelme(write(tmp_path, {"label": "car", "points": [[1, 1]]})).records[0].read_labels((20, 30))
    with pytest.raises(QumadeError, match=r"Invalid shape: got .* as shape 1 in .*a\.json; must have a label"):
        read_labelme(write(tmp_path, {"points": []}))


def test_an_import_is_tied_to_the_annotations(tmp_path: Path, notices_changes: NoticesChanges) -> None:
    root = write(tmp_path, rectangle("car", [1, 1], [9, 9]))
    path = root / "a.json"
    notices_changes(lambda: read_labelme(root), {path: path.read_bytes().replace(b"[9, 9]", b"[8, 9]")})

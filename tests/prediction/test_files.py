import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qumade.errors import QumadeError
from qumade.io.files import only_one
from qumade.models.config import NetworkConfig
from qumade.prediction.files import OUTPUTS as EVERY
from qumade.prediction.files import Predicted, draw, find_pictures, predict_files
from qumade.prediction.predictor import Prediction, Predictor

CONFIG = NetworkConfig(size=(64, 32), inverse_depth_limits=(0.5, 2.5), depth_kind="scaled")
RUN = Path("run").absolute()
OUTPUTS = tuple(name for name in EVERY if name != "classes")  # of a network for objects of one class


def red_and_green(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Red is the mask, green the inverse depth over the range."""
    return batch[:, :1], 0.5 + 2 * batch[:, 1:2]


PREDICTOR = Predictor(CONFIG, red_and_green, path=RUN)


def save(path: Path, colour: tuple[int, int, int] = (255, 51, 7), size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def run(pictures: list[Path], out: Path, **options: object) -> Predicted:
    return predict_files(PREDICTOR, pictures, out, **options)  # type: ignore[arg-type]


def test_every_output_lies_there_under_its_name(tmp_path: Path) -> None:
    result = run([save(tmp_path / "in" / "a.png")], tmp_path / "out")
    assert result == Predicted(tmp_path / "out", 1, ())
    names = {"a_mask.png", "a_depth.png", "a_depth_colour.png", "a_sheet.png", "a_cutout.png", "predictions.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    mask, depth, colour, sheet, cutout = (Image.open(tmp_path / "out" / f"a_{name}.png") for name in OUTPUTS)
    assert mask.mode == "L" and set(mask.get_flattened_data()) == {255}
    assert depth.mode == "I;16" and set(np.asarray(depth).ravel()) == {round(0.2 * 65535)}
    assert colour.mode == sheet.mode == "RGB" and cutout.mode == "RGBA"
    assert mask.size == depth.size == colour.size == cutout.size == (40, 30)
    assert sheet.size == (4 * 40 * 6 + 3 * 6, 30 * 6)
    assert cutout.getpixel((3, 4)) == (255, 51, 7, 255)


@pytest.mark.parametrize(
    ("task", "names", "refused"),
    [("mask", {"mask", "sheet", "cutout"}, "depth"), ("depth", {"depth", "depth_colour", "sheet"}, "cutout")],
)
def test_untrained_tasks_are_not_written(tmp_path: Path, task: str, names: set[str], refused: Any) -> None:
    predictor = Predictor(CONFIG.model_copy(update={"trained_tasks": (task,)}), red_and_green)
    source = save(tmp_path / "in" / "a.png")
    predict_files(predictor, [source], tmp_path / "out")
    assert {path.stem for path in (tmp_path / "out").glob("*.png")} == {f"a_{name}" for name in names}
    cells = 3 if task == "mask" else 2  # a mask is shown over the image, too
    assert Image.open(tmp_path / "out" / "a_sheet.png").size == (cells * 246 - 6, 30 * 6)
    with pytest.raises(QumadeError, match=f"got '{refused}' of a network whose training had no"):
        predict_files(predictor, [source], tmp_path / "other", only=[refused])
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [("metric", "1/m"), ("scaled", "up to one factor"), ("affine", "factor and shift"), (None, "unit unknown")],
)
def test_predictions_json_says_what_depth_means(tmp_path: Path, kind: str | None, meaning: str) -> None:
    predictor = Predictor(CONFIG.model_copy(update={"depth_kind": kind}), red_and_green, path=RUN)
    source = save(tmp_path / "in" / "a.png")
    predict_files(predictor, [source], tmp_path / "out", only=("depth",))
    index = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert index["complete"] is True and index["failed"] == []
    entry = index["pictures"]["a"]
    assert (entry["source"], entry["width"], entry["height"]) == (str(source), 40, 30)
    depth = entry["outputs"]["depth"]
    assert (depth["file"], depth["kind"], depth["range"]) == ("a_depth.png", kind, [0.5, 2.5])
    assert meaning in depth["meaning"] and depth["network"] == str(RUN)
    assert ("1/m" in depth["meaning"] or " m" in f" {depth['meaning']} ".replace(" map", "")) == (kind == "metric")
    low, high = depth["range"]
    value = np.asarray(Image.open(tmp_path / "out" / depth["file"]))[0, 0]
    assert low + (high - low) * value / 65535 == pytest.approx(0.9, abs=1e-4)


def test_only_what_was_asked_for_is_written_and_the_rest_may_follow(tmp_path: Path) -> None:
    source = save(tmp_path / "in" / "a.png")
    run([source], tmp_path / "out", only=("mask",))
    run([source], tmp_path / "out", only=("cutout",))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a_cutout.png",
        "a_mask.png",
        "predictions.json",
    ]
    index = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert set(index["pictures"]["a"]["outputs"]) == {"mask", "cutout"}


@pytest.mark.parametrize("size", [(1, 1), (1, 600), (3000, 1), (33, 31), (1500, 90)])
def test_pictures_of_any_shape(tmp_path: Path, size: tuple[int, int]) -> None:
    run([save(tmp_path / "in" / "a.png", size=size)], tmp_path / "out")
    for name in OUTPUTS:
        with Image.open(tmp_path / "out" / f"a_{name}.png") as picture:
            assert picture.size == size or name == "sheet"
            assert max(picture.size) <= 3000


def test_grey_cmyk_and_turned_pictures(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("L", (20, 10), 102).save(tmp_path / "in" / "grey.png")
    Image.new("CMYK", (20, 10), (0, 255, 255, 0)).save(tmp_path / "in" / "cmyk.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10), (255, 0, 0)).save(tmp_path / "in" / "turned.jpg", exif=exif)
    Image.new("RGBA", (20, 10), (255, 0, 0, 0)).save(tmp_path / "in" / "clear.webp", lossless=True, exact=True)
    assert run(find_pictures([tmp_path / "in"]), tmp_path / "out").predicted == 4
    masks = {stem: np.asarray(Image.open(tmp_path / "out" / f"{stem}_mask.png")) for stem in ("grey", "cmyk", "turned")}
    assert (masks["grey"] == 102).all() and masks["grey"].shape == (10, 20)
    assert (masks["cmyk"] >= 250).all() and masks["turned"].shape == (20, 10)


def test_damaged_pictures_are_named_and_the_rest_is_predicted(tmp_path: Path) -> None:
    good = [save(tmp_path / "in" / f"{name}.png") for name in "abd"]
    (tmp_path / "in" / "c.png").write_bytes(good[0].read_bytes()[:60])
    (tmp_path / "in" / "e.jpg").write_bytes(b"")
    result = run(find_pictures([tmp_path / "in"]), tmp_path / "out", only=("mask",))
    assert result.predicted == 3
    assert [("c.png" in line, "e.jpg" in line) for line in result.failed] == [(True, False), (False, True)]
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"a_mask.png", "b_mask.png", "d_mask.png", "predictions.json"}
    index = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert index["failed"] == list(result.failed)
    assert set(index["pictures"]) == {"a", "b", "d"}


def test_folders_and_files_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [save(tmp_path / "in" / name) for name in ("a.png", "b.JPG", "c.jpeg")]
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    save(tmp_path / "in" / "deeper" / "z.png")
    monkeypatch.chdir(tmp_path)
    assert find_pictures([Path("in"), Path("in/b.JPG")]) == files
    assert find_pictures([Path("in/c.jpeg"), Path("in")]) == [files[2], files[0], files[1]]


def test_equal_stems_are_refused_with_both_named(tmp_path: Path) -> None:
    first, second = save(tmp_path / "one" / "a.png"), save(tmp_path / "two" / "a.jpg")
    with pytest.raises(QumadeError) as error:
        find_pictures([tmp_path / "one", tmp_path / "two"])
    assert str(first) in str(error.value) and str(second) in str(error.value)


def test_equal_stems_of_two_runs_are_refused_with_both_named(tmp_path: Path) -> None:
    first, second = save(tmp_path / "one" / "a.png"), save(tmp_path / "two" / "a.png", (0, 0, 0))
    run([first], tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(QumadeError) as error:
        run([second], tmp_path / "out")
    assert str(first) in str(error.value) and str(second) in str(error.value)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert run([first], tmp_path / "out").predicted == 1  # the same picture may be predicted anew


def test_files_of_others_are_not_overwritten(tmp_path: Path) -> None:
    taken = save(tmp_path / "out" / "a_mask.png")
    with pytest.raises(QumadeError, match=r"a_mask\.png, which no earlier run wrote"):
        run([save(tmp_path / "in" / "a.png")], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [taken.name]


def test_the_folder_of_the_pictures_is_no_place_for_predictions(tmp_path: Path) -> None:
    with pytest.raises(QumadeError, match="where the pictures are"):
        run([save(tmp_path / "in" / "a.png")], tmp_path / "in")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": "qumade-predictions/2", "pictures": 3}',
                                  '{"format": "qumade-predictions/2", "pictures": {"a": {}}}'])  # fmt: skip
def test_a_predictions_json_of_something_else_is_left_alone(tmp_path: Path, text: str) -> None:
    source = save(tmp_path / "in" / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "predictions.json").write_text(text)
    with pytest.raises(QumadeError, match=r"predictions\.json of something else"):
        run([source], tmp_path / "out")
    assert (tmp_path / "out" / "predictions.json").read_text() == text


def stopped_after(pictures: int, predictor: Predictor) -> Predictor:
    """The same, until it has predicted so many pictures: then as with Ctrl-C."""
    left = pictures

    def forward(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nonlocal left
        left -= len(batch)
        if left < 0:
            raise KeyboardInterrupt
        return red_and_green(batch)

    return Predictor(predictor.config, forward)


def index_of(out: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((out / "predictions.json").read_text())
    return index


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qumade.prediction.files.GROUP_PICTURES", 1)


def test_a_run_that_was_killed_can_be_done_again(tmp_path: Path, one_at_a_time: None) -> None:
    a, b, c = (save(tmp_path / "in" / f"{name}.png") for name in "abc")
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict_files(stopped_after(1, PREDICTOR), [a, b], out)
    assert (out / "a_mask.png").exists() and not (out / "b_mask.png").exists()
    assert index_of(out)["complete"] is False
    run([c], out)  # others in between make nothing whole, and take nothing away
    index = index_of(out)
    assert index["complete"] is False and index["pictures"]["a"]["unfinished"] == sorted(OUTPUTS)
    assert run([a, b], out).predicted == 2
    index = index_of(out)
    assert index["complete"] is True
    assert [(set(entry["outputs"]), entry["unfinished"]) for entry in index["pictures"].values()] == [
        (set(OUTPUTS), [])
    ] * 3


def test_the_index_leaves_out_what_a_killed_run_may_have_changed(tmp_path: Path, one_at_a_time: None) -> None:
    a, b, c = (save(tmp_path / "in" / f"{name}.png") for name in "abc")
    out = tmp_path / "out"
    run([a, b], out)
    config = CONFIG.model_copy(update={"inverse_depth_limits": (0.0, 9.0)})
    other = Predictor(config, red_and_green, path=Path("other").absolute())
    with pytest.raises(KeyboardInterrupt):
        predict_files(stopped_after(1, other), [a, b], out, only=("depth",))
    run([c], out)
    index = index_of(out)
    assert index["complete"] is False
    for stem in "ab":
        assert set(index["pictures"][stem]["outputs"]) == set(OUTPUTS) - {"depth"}
        assert index["pictures"][stem]["unfinished"] == ["depth"]
    predict_files(other, [a, b], out, only=("depth",))
    index = index_of(out)
    assert index["complete"] is True
    told = {name: output["network"] for name, output in index["pictures"]["a"]["outputs"].items()}
    assert told == {name: str(Path("other").absolute() if name == "depth" else RUN) for name in OUTPUTS}
    assert index["pictures"]["a"]["outputs"]["depth"]["range"] == [0.0, 9.0]


def test_a_picture_that_was_damaged_meanwhile_keeps_its_predictions(tmp_path: Path) -> None:
    source = save(tmp_path / "in" / "a.png")
    run([source], tmp_path / "out")
    before = index_of(tmp_path / "out")["pictures"]
    source.write_bytes(b"")
    assert run([source], tmp_path / "out").failed
    index = index_of(tmp_path / "out")
    assert index["complete"] is True and index["pictures"] == before


def test_a_file_that_an_earlier_run_did_not_write_is_kept(tmp_path: Path) -> None:
    source = save(tmp_path / "in" / "a.png")
    run([source], tmp_path / "out", only=("mask",))
    (tmp_path / "out" / "a_depth.png").write_bytes(b"mine")
    before = index_of(tmp_path / "out")
    with pytest.raises(QumadeError, match=r"a_depth\.png, which no earlier run wrote"):
        run([source], tmp_path / "out")
    assert (tmp_path / "out" / "a_depth.png").read_bytes() == b"mine"
    assert index_of(tmp_path / "out") == before


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    source = save(tmp_path / "in" / "a.png")
    (tmp_path / "out").mkdir()
    with only_one(tmp_path / "out", "predicting"), pytest.raises(QumadeError, match="another process is predicting"):
        run([source], tmp_path / "out")


def test_one_picture_by_two_ways_is_one_picture(tmp_path: Path) -> None:
    source = save(tmp_path / "in" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    other = tmp_path / "in" / ".." / "link" / "a.png"
    assert find_pictures([source, other]) == [source]
    run([source], tmp_path / "out")
    assert run([other], tmp_path / "out").predicted == 1


@pytest.mark.parametrize("way", ["link", "out/../in"])
def test_the_folder_of_the_pictures_by_another_way(tmp_path: Path, way: str) -> None:
    source = save(tmp_path / "in" / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(QumadeError, match="where the pictures are"):
        run([source], tmp_path / way)
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.png"]


def test_names_may_be_as_long_as_their_predictions_can_be_named_after_them(tmp_path: Path) -> None:
    longest = save(tmp_path / "in" / f"{'é' * 114}a.png")
    assert run(find_pictures([longest]), tmp_path / "out").predicted == 1
    assert len(list((tmp_path / "out").iterdir())) == len(OUTPUTS) + 1
    save(tmp_path / "in" / f"{'é' * 115}.png")
    with pytest.raises(QumadeError, match="got a name of 230 bytes") as error:
        find_pictures([tmp_path / "in"])
    assert "must be at most 229" in str(error.value) and "é" * 115 in str(error.value)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda folder: None, "got nothing at"),
        (lambda folder: folder.mkdir(), "got no picture in"),
    ],
)
def test_where_no_picture_is(tmp_path: Path, make: object, expected: str) -> None:
    make(tmp_path / "in")  # type: ignore[operator]
    with pytest.raises(QumadeError, match=expected):
        find_pictures([tmp_path / "in"])


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(QumadeError, match="Invalid --out"):
        run([save(tmp_path / "in" / "a.png")], tmp_path / "file" / "out")


def test_more_pictures_than_fit_into_memory_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qumade.prediction.files.GROUP_PX", 40 * 30 * 2)
    monkeypatch.setattr("qumade.prediction.files.GROUP_PICTURES", 3)
    sources = [save(tmp_path / "in" / f"{n}.png", (n, 0, 0), (40, 30 if n % 4 else 100)) for n in range(9)]
    assert run(sources, tmp_path / "out", only=("mask",)).predicted == 9
    for n in range(9):
        assert (np.asarray(Image.open(tmp_path / "out" / f"{n}_mask.png")) == n).all()


def ramp() -> tuple[np.ndarray, Prediction]:
    mask, depth = np.meshgrid(np.linspace(0, 1, 256, dtype=np.float32), np.linspace(0, 2, 11, dtype=np.float32))
    return np.full((11, 256, 3), 200, np.uint8), Prediction(mask, depth)


def test_codes_of_mask_and_depth_are_the_nearest() -> None:
    image, prediction = ramp()
    np.testing.assert_array_equal(np.asarray(draw(image, prediction, "mask", (0, 2)))[0], np.arange(256))
    depth = np.asarray(draw(image, prediction, "depth", (0, 2)))
    np.testing.assert_allclose(depth[:, 0], np.linspace(0, 65535, 11), atol=0.501)
    outside = np.asarray(draw(image, prediction, "depth", (0.5, 1.0)))
    assert outside.min() == 0 and outside.max() == 65535


def test_a_cutout_hides_what_it_does_not_show() -> None:
    image, prediction = ramp()
    cutout = np.asarray(draw(image, prediction, "cutout", (0, 2)))
    np.testing.assert_array_equal(cutout[0, :, 3], np.arange(256))
    assert (cutout[:, 0] == 0).all() and (cutout[:, 1:, :3] == 200).all()


def test_near_is_bright_and_far_is_dark() -> None:
    image, prediction = ramp()
    brightness = np.asarray(draw(image, prediction, "depth_colour", (0, 9))).mean(axis=(1, 2))
    assert (np.diff(brightness) > 0).all() and brightness[0] < 10
    flat = Prediction(prediction.mask, np.full_like(prediction.mask, 0.7))
    assert np.ptp(np.asarray(draw(image, flat, "depth_colour", (0, 9)))[..., 0]) == 0


CLASSED = CONFIG.model_copy(update={"classes": ("car", "person", "truck")})


def shares(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Red, green and blue are the probabilities of the three classes."""
    return batch, 0.5 + 2 * batch[:, 1:2]


def test_classes_are_a_label_map_whose_names_stand_in_the_index(tmp_path: Path) -> None:
    colours = {"none": (20, 30, 40), "car": (200, 30, 10), "person": (10, 150, 10), "truck": (10, 60, 140)}
    sources = [save(tmp_path / "in" / f"{name}.png", colour) for name, colour in colours.items()]
    out = tmp_path / "out"
    predict_files(Predictor(CLASSED, shares, path=RUN), sources, out)
    index = json.loads((out / "predictions.json").read_text())["pictures"]
    for number, name in enumerate(colours):
        with Image.open(out / f"{name}_classes.png") as label_map:
            assert label_map.mode == "P" and label_map.size == (40, 30)
            assert set(label_map.get_flattened_data()) == {number}
            palette = np.array(label_map.getpalette()).reshape(-1, 3)
        np.testing.assert_array_equal(palette[:4], [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]])  # of VOC
        assert index[name]["outputs"]["classes"]["names"] == ["background", "car", "person", "truck"]
        mask = np.asarray(Image.open(out / f"{name}_mask.png"))
        assert abs(int(mask[0, 0]) - sum(colours[name])) <= 1  # of any class
        sheet = Image.open(out / f"{name}_sheet.png")
        assert sheet.getpixel((2 * (40 * 6 + 6) + 9, 9)) == tuple(palette[number])


def test_one_class_has_no_label_map(tmp_path: Path) -> None:
    source = save(tmp_path / "in" / "a.png")
    with pytest.raises(QumadeError, match="got 'classes' of a network for objects of one class; must be some of mask,"):
        run([source], tmp_path / "out", only=("classes",))
    assert not (tmp_path / "out").exists()

import errno
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qumade.errors import QumadeError
from qumade.models.config import NetworkConfig
from qumade.prediction.clips import UnusableClip
from qumade.prediction.files import draw, predict_files
from qumade.prediction.predictor import Predictor
from qumade.prediction.video import check_clips, overlaid, predict_video, smoothed

av = pytest.importorskip("av", reason="the extra `video` is not installed")

CONFIG = NetworkConfig(size=(64, 32), inverse_depth_limits=(0.5, 2.5), depth_kind="scaled")
RUN = Path("run").absolute()


def red_and_green(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return batch[:, :1], 0.5 + 2 * batch[:, 1:2]


PREDICTOR = Predictor(CONFIG, red_and_green, path=RUN)


def scene(number: int, size: tuple[int, int] = (48, 32)) -> np.ndarray:
    """A bright square that moves over a ramp."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 1] = np.linspace(0, 255, width, dtype=np.uint8)
    left = number % max(1, width - 8)
    image[4:12, left : left + 8, 0] = 250
    return image


def write_clip(
    path: Path,
    frames: int = 20,
    size: tuple[int, int] = (48, 32),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rotation: int = 0,
) -> Path:
    path.parent.mkdir(exist_ok=True)
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.gop_size = 5
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(scene(number, size), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_clip(path: Path, pixels: str) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format=pixels) for frame in container.decode(video=0)]


def times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


@pytest.mark.parametrize("size", [(48, 32), (34, 50)])
def test_frames_are_what_predicting_them_one_by_one_says(tmp_path: Path, size: tuple[int, int]) -> None:
    clip = write_clip(tmp_path / "in" / "clip.mp4", size=size)
    found = predict_video(PREDICTOR, clip, tmp_path / "out")
    assert found.frames == 20 and found.problem == ""
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "clip_overlay.mp4", "clip_mask.mkv", "clip_depth.mkv", "predictions.json",
    }  # fmt: skip
    images = read_clip(clip, "rgb24")
    masks, depths = read_clip(found.files["mask"], "gray"), read_clip(found.files["depth"], "gray16le")
    assert len(images) == len(masks) == len(depths) == 20
    for image, mask, depth in zip(images, masks, depths, strict=True):
        (prediction,) = PREDICTOR([image])
        np.testing.assert_array_equal(mask, np.asarray(draw(image, prediction, "mask", CONFIG.inverse_depth_limits)))
        np.testing.assert_array_equal(depth, np.asarray(draw(image, prediction, "depth", CONFIG.inverse_depth_limits)))
    overlay = read_clip(found.files["overlay"], "rgb24")
    assert len(overlay) == 20 and overlay[0].shape == images[0].shape
    shown = overlaid(images[7], PREDICTOR([images[7]])[0])
    assert np.abs(overlay[7].astype(int) - shown).mean() < 12  # H.264 loses a little
    for path in found.files.values():
        np.testing.assert_allclose(times(path), times(clip), atol=1e-3)


def test_odd_sides_and_other_containers(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in" / "odd.mkv", 3, (33, 21), "ffv1", "bgr0")
    found = predict_video(PREDICTOR, clip, tmp_path / "out")
    assert read_clip(found.files["mask"], "gray")[0].shape == (21, 33)
    assert read_clip(found.files["overlay"], "rgb24")[0].shape == (22, 34, 3)
    image = read_clip(clip, "rgb24")[2]
    np.testing.assert_array_equal(image, scene(2, (33, 21)))
    expected = draw(image, PREDICTOR([image])[0], "mask", CONFIG.inverse_depth_limits)
    np.testing.assert_array_equal(read_clip(found.files["mask"], "gray")[2], np.asarray(expected))


def test_the_index_says_what_depth_means_and_whose_it_is(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in" / "clip.mp4", 4)
    predict_video(PREDICTOR, clip, tmp_path / "out", only=("depth",), smooth=0.25)
    entry = json.loads((tmp_path / "out" / "predictions.json").read_text())["clips"]["clip"]
    assert entry["complete"] is True and entry["frames"] == 4 and entry["source"] == str(clip)
    depth = entry["outputs"]["depth"]
    assert depth["range"] == [0.5, 2.5] and depth["kind"] == "scaled" and depth["smooth"] == 0.25
    assert depth["network"] == str(RUN) and depth["file"] == "clip_depth.mkv"


def test_classes_are_lossless_numbers(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"classes": ("red", "green")})

    def forward(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return batch[:, :2] / 2, np.ones_like(batch[:, :1])

    predictor = Predictor(config, forward, path=RUN)
    clip = write_clip(tmp_path / "in" / "clip.mkv", 3, codec="ffv1", pixels="bgr0")
    found = predict_video(predictor, clip, tmp_path / "out")
    for image, numbers in zip(read_clip(clip, "rgb24"), read_clip(found.files["classes"], "gray"), strict=True):
        np.testing.assert_array_equal(numbers, predictor([image])[0].class_map)
    entry = json.loads((tmp_path / "out" / "predictions.json").read_text())["clips"]["clip"]
    assert entry["outputs"]["classes"]["names"] == ["background", "red", "green"]


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(0, 0.95))
def test_smoothing_is_an_exponential_mean_however_frames_are_grouped(seed: int, group: int, share: float) -> None:
    frames = np.random.default_rng(seed).random((7, 3, 32, 32), np.float32)
    forward = smoothed(red_and_green, share)
    parts = [forward(frames[start : start + group]) for start in range(0, 7, group)]
    masks, depths = (np.concatenate(part) for part in zip(*parts, strict=True))
    expected = [values.astype(np.float64) for values in red_and_green(frames)]
    for values in expected:
        for number in range(1, 7):
            values[number] = share * values[number - 1] + (1 - share) * values[number]
    np.testing.assert_allclose(masks, expected[0], atol=1e-5)
    np.testing.assert_allclose(depths, expected[1], atol=1e-5)


@pytest.mark.parametrize("smooth", [-0.1, 1.0, float("nan")])
def test_a_share_of_all_earlier_frames_is_refused(tmp_path: Path, smooth: float) -> None:
    clip = write_clip(tmp_path / "in" / "clip.mp4", 2)
    with pytest.raises(QumadeError, match="Invalid --smooth"):
        predict_video(PREDICTOR, clip, tmp_path / "out", smooth=smooth)


def test_a_clip_that_ends_early_is_named_and_what_was_read_is_kept(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "in" / "whole.mp4", 60)
    torn = tmp_path / "in" / "torn.mp4"
    torn.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    found = predict_video(PREDICTOR, torn, tmp_path / "out")
    assert 0 < found.frames < 60
    assert f"Invalid clip: {torn} is damaged: {found.frames} of 60 frames could be read" in found.problem
    assert len(read_clip(found.files["mask"], "gray")) == found.frames
    assert len(read_clip(found.files["overlay"], "rgb24")) == found.frames
    entry = json.loads((tmp_path / "out" / "predictions.json").read_text())["clips"]["torn"]
    assert entry["complete"] is False and entry["problem"] == found.problem and entry["frames"] == found.frames


def test_a_clip_that_is_damaged_inside_is_named(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in" / "clip.mp4", 60)
    data = bytearray(clip.read_bytes())
    middle = len(data) * 2 // 3
    data[middle : middle + 600] = bytes(600)
    clip.write_bytes(data)
    found = predict_video(PREDICTOR, clip, tmp_path / "out")
    assert "is damaged" in found.problem and "places are damaged" in found.problem and found.frames > 10


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "cannot read"),
        (b"#EXTM3U\n/etc/hostname\n", "cannot read"),
        (b"\0" * 5000, "cannot read"),
        (None, "cannot read"),
    ],
)
def test_what_is_no_clip_is_refused_and_nothing_is_written(tmp_path: Path, content: bytes | None, got: str) -> None:
    path = tmp_path / "no.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnusableClip, match=f"Invalid clip: {got} {path}"):
        predict_video(PREDICTOR, path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_call_writes_the_clip_again_and_others_are_kept(tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "in" / "clip.mp4", 4), tmp_path / "out"
    predict_video(PREDICTOR, clip, out, only=("mask",))
    before = (out / "clip_mask.mkv").read_bytes()
    predict_video(PREDICTOR, clip, out, only=("mask",))
    assert len(read_clip(out / "clip_mask.mkv", "gray")) == 4 and len(before) == (out / "clip_mask.mkv").stat().st_size
    other = write_clip(tmp_path / "other" / "clip.mp4", 2)
    with pytest.raises(QumadeError, match=f"got predictions of {clip} in it, which those of {other} would overwrite"):
        predict_video(PREDICTOR, other, out)
    stranger = out / "new_mask.mkv"
    stranger.write_bytes(b"mine")
    with pytest.raises(QumadeError, match=f"got {stranger}, which no earlier run wrote"):
        predict_video(PREDICTOR, write_clip(tmp_path / "in" / "new.mp4", 2), out)
    assert stranger.read_bytes() == b"mine"


def test_a_killed_call_leaves_no_half_clip_and_the_same_call_finishes(tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "in" / "clip.mp4", 20), tmp_path / "out"
    calls: list[int] = []

    def interrupted(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        calls.append(len(batch))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return red_and_green(batch)

    with pytest.raises(KeyboardInterrupt):
        predict_video(Predictor(CONFIG, interrupted, path=RUN), clip, out)
    assert max(calls) <= 8  # frames in memory
    assert [path.name for path in out.iterdir()] == ["predictions.json"]
    entry = json.loads((out / "predictions.json").read_text())["clips"]["clip"]
    assert entry["complete"] is False and entry["unfinished"] == ["depth", "mask", "overlay"]
    assert predict_video(PREDICTOR, clip, out).frames == 20


@pytest.mark.parametrize(
    ("config", "names", "refused"),
    [
        ({"trained_tasks": ("mask",)}, {"overlay", "mask"}, "depth"),
        ({"trained_tasks": ("depth",)}, {"depth"}, "overlay"),
        ({}, {"overlay", "mask", "depth"}, "classes"),
    ],
)
def test_untrained_tasks_are_not_written(tmp_path: Path, config: Any, names: set[str], refused: Any) -> None:
    clip = write_clip(tmp_path / "in" / "clip.mp4", 2)
    predictor = Predictor(CONFIG.model_copy(update=config), red_and_green, path=RUN)
    assert set(predict_video(predictor, clip, tmp_path / "out").files) == names
    with pytest.raises(QumadeError, match=f"got '{refused}' of a clip; must be some of"):
        predict_video(predictor, clip, tmp_path / "out", only=(refused,))


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_a_clip_that_says_it_is_turned_is_predicted_upright(tmp_path: Path, degrees: int) -> None:
    """`degrees` counts counterclockwise, as the display matrix of a clip does."""
    clip = write_clip(tmp_path / "in" / "turned.mp4", 3, rotation=degrees)
    found = predict_video(PREDICTOR, clip, tmp_path / "out", only=("mask",))
    upright = np.ascontiguousarray(np.rot90(read_clip(clip, "rgb24")[1], degrees // 90))
    expected = draw(upright, PREDICTOR([upright])[0], "mask", CONFIG.inverse_depth_limits)
    np.testing.assert_array_equal(read_clip(found.files["mask"], "gray")[1], np.asarray(expected))


FULL = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_video import PREDICTOR, predict_video, write_clip
folder = Path(sys.argv[2])
whole, large = write_clip(folder / "in" / "whole.mp4", 2), write_clip(folder / "in" / "large.mp4", 200)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
predict_video(PREDICTOR, whole, folder / "out")
predict_video(PREDICTOR, large, folder / "out")
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", [9_000, 16_000, 33_000, 40_000])  # at a first write, later ones, and at the end
def test_a_full_disk_is_named_and_what_is_whole_is_kept(tmp_path: Path, limit: int) -> None:
    arguments = [str(Path(__file__).parent), str(tmp_path), str(limit)]
    done = subprocess.run([sys.executable, "-c", FULL, *arguments], capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert "being dropped" not in done.stderr  # PyAV prints what it cannot raise
    assert f"Invalid output: cannot write {tmp_path}/out/large_" in last
    assert "RunError" in last and os.strerror(errno.EFBIG) in last
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        "predictions.json", *(f"whole_{name}" for name in ("overlay.mp4", "mask.mkv", "depth.mkv"))
    }  # fmt: skip
    assert len(read_clip(out / "whole_mask.mkv", "gray")) == 2
    index = json.loads((out / "predictions.json").read_text())
    assert index["complete"] is False and index["clips"]["whole"]["complete"] is True
    assert index["clips"]["large"]["unfinished"] == ["depth", "mask", "overlay"]
    found = predict_video(PREDICTOR, tmp_path / "in" / "large.mp4", out)  # there is room again
    assert found.frames == 200 and json.loads((out / "predictions.json").read_text())["complete"] is True


def test_predictions_of_clips_alone_are_complete(tmp_path: Path) -> None:
    predict_video(PREDICTOR, write_clip(tmp_path / "in" / "clip.mp4", 2), tmp_path / "out")
    index = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert index["complete"] is True and index["pictures"] == {}
    Image.fromarray(scene(0)).save(tmp_path / "in" / "photo.png")
    predict_files(PREDICTOR, [tmp_path / "in" / "photo.png"], tmp_path / "out", only=("mask",))
    after = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert after["complete"] is True and after["clips"] == index["clips"]


def test_a_clip_without_frames_leaves_what_was_there(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in" / "clip.mp4", 2)
    predict_video(PREDICTOR, clip, tmp_path / "out")
    before = (tmp_path / "out" / "predictions.json").read_text()
    data = clip.read_bytes()
    start = data.rindex(b"mdat") + 4
    clip.write_bytes(data[:start] + bytes(len(data) - start))
    with pytest.raises(UnusableClip, match="got no frame"):
        predict_video(PREDICTOR, clip, tmp_path / "out")
    assert (tmp_path / "out" / "predictions.json").read_text() == before


def test_clips_are_checked_before_they_are_opened(tmp_path: Path) -> None:
    one, same = tmp_path / "in" / "a.mp4", tmp_path / "in" / "a.mov"
    assert check_clips([one, one], tmp_path / "out", CONFIG) == [one]
    with pytest.raises(QumadeError, match=r"Invalid clips: got the stem 'a' of \S+a.mp4 again in \S+a.mov"):
        check_clips([one, same], tmp_path / "out", CONFIG)
    with pytest.raises(QumadeError, match="Invalid output: got 'classes' of a clip"):
        check_clips([one], tmp_path / "out", CONFIG, only=("classes",))
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a_mask.mkv").touch()
    with pytest.raises(QumadeError, match=r"a_mask.mkv, which no earlier run wrote"):
        check_clips([one], tmp_path / "out", CONFIG)

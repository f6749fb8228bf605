import json
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qumade import cli
from qumade.models.config import NetworkConfig
from qumade.models.network import build_network
from qumade.training.run_folder import RunFolder, write_weights

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Calls the command in this process; returns exit code, stdout and stderr."""
    at_sigterm, show = signal.getsignal(signal.SIGTERM), warnings.showwarning

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["qumade", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            cli.main()
        captured = capsys.readouterr()
        assert isinstance(exit_info.value.code, int)
        return exit_info.value.code, captured.out, captured.err

    yield run
    signal.signal(signal.SIGTERM, at_sigterm)
    warnings.showwarning = show


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a run folder with untrained weights."""
    torch.manual_seed(0)
    config = NetworkConfig(size=(64, 64), depth_kind="metric", inverse_depth_limits=(0.0, 0.5))
    folder = tmp_path_factory.mktemp("networks") / "run"
    network = build_network(config)
    for which in ("best", "last"):
        write_weights(RunFolder(folder), which, network, config, {"step": 1})
    return folder


def test_a_run_predicts_a_folder(call: Run, trained: Path, asset_folders: Path, tmp_path: Path) -> None:
    code, out, err = call("predict", trained, asset_folders / "backgrounds", "--out", tmp_path / "out", "--json")
    assert code == 0 and "3 of 3 pictures" in err
    assert json.loads(out) == {"out": str(tmp_path / "out"), "predicted": 3, "failed": []}
    assert len(list((tmp_path / "out").glob("photo_*.png"))) == 15
    with Image.open(tmp_path / "out" / "photo_1_depth.png") as depth:
        assert depth.size == (80, 50) and depth.mode == "I;16"


def test_a_run_is_adapted_to_a_folder_of_photos(call: Run, trained: Path, asset_folders: Path, tmp_path: Path) -> None:
    photos = asset_folders / "backgrounds"
    code, out, _ = call("adapt", trained, photos, "--out", tmp_path / "moved", "--alpha", "0.5", "--json")
    assert code == 0
    result = json.loads(out)
    assert result["run"] == str(tmp_path / "moved") and result["photos"] == 3 and result["alpha"] == 0.5
    code, out, _ = call("adapt", trained, photos, "--out", tmp_path / "found")
    assert code == 0 and "alpha  agreement" in out and "from 3 photos" in out and str(tmp_path / "found") in out
    code, out, _ = call("adapt", trained, photos, "--out", tmp_path / "same", "--alpha", "0")
    assert code == 0 and out.endswith("Nothing changed, the network is that of the run\n")
    code, _, err = call("adapt", trained, photos, "--out", photos)
    assert code == 1 and f"got {photos}, which is not empty" in err
    assert call("predict", tmp_path / "moved", photos, "--out", tmp_path / "out")[0] == 0


def test_a_damaged_image_is_skipped_and_exits_with_1(
    call: Run, trained: Path, asset_folders: Path, tmp_path: Path
) -> None:
    bad = asset_folders / "backgrounds" / "photo_1.png"
    bad.write_bytes(bad.read_bytes()[:100])
    code, out, err = call(
        "predict", trained, asset_folders / "backgrounds", "--out", tmp_path / "out", "--only", "mask,cutout"
    )
    assert code == 1 and str(bad) in err and "2 of 3 pictures" in out
    names = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert names == {f"photo_{n}_{name}.png" for n in (0, 2) for name in ("mask", "cutout")}


@pytest.mark.parametrize("verb", ["predict", "adapt"])
def test_what_is_left_out_is_said_and_refused_if_strict(
    call: Run, trained: Path, asset_folders: Path, tmp_path: Path, verb: str
) -> None:
    photos = asset_folders / "backgrounds"
    (photos / "night").mkdir()
    (photos / "notes.txt").write_text("of mine")
    (photos / "Thumbs.db").write_bytes(b"of the system")
    code, out, err = call(verb, trained, photos, "--out", tmp_path / "out")
    assert code == 0 and "2 entries are left out" in out + err and "night/, notes.txt" in out + err
    code, _, err = call(verb, trained, photos, "--out", tmp_path / "strict", "--strict")
    assert code == 1 and "2 entries are left out" in err and "none with --strict" in err
    assert not (tmp_path / "strict").exists()


@pytest.mark.parametrize("only", ["", "masks", "mask,", "mask,all"])
def test_unknown_outputs_are_refused(call: Run, trained: Path, tmp_path: Path, only: str) -> None:
    code, _, err = call("predict", trained, tmp_path, "--out", tmp_path / "out", f"--only={only}")
    assert code == 1 and "must be some of mask,depth,depth_colour,sheet,cutout" in err


@pytest.mark.slow
def test_an_exported_network_predicts_as_its_run_does(
    call: Run, trained: Path, asset_folders: Path, tmp_path: Path
) -> None:
    code, out, _ = call("export", trained, "--out", tmp_path / "model.onnx", "--json")
    result = json.loads(out)
    assert code == 0 and result["file"] == str(tmp_path / "model.onnx")
    assert max(result["max_mask_difference"], result["max_depth_difference"]) < 1e-4
    pictures = asset_folders / "backgrounds"
    for network, name in ((trained, "a"), (tmp_path / "model.onnx", "b")):
        assert call("predict", network, pictures, "--out", tmp_path / name, "--device", "cpu")[0] == 0
    for name in ("mask", "depth"):
        one, other = (np.asarray(Image.open(tmp_path / side / f"photo_0_{name}.png"), np.int64) for side in "ab")
        assert np.abs(one - other).max() <= (1 if name == "mask" else 8)


@pytest.mark.parametrize("verb", ["predict", "export"])
def test_a_folder_that_is_no_run_is_refused_in_one_line(call: Run, tmp_path: Path, verb: str) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    pictures = [tmp_path / "a.png"] if verb == "predict" else []
    code, _, err = call(verb, tmp_path, *pictures, "--out", tmp_path / "out" / "model.onnx")
    assert code == 1 and str(tmp_path) in err and len(err.splitlines()) == 1


def test_clips_are_predicted_beside_images(call: Run, trained: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="the extra `video` is not installed")
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in (0, 100, 200):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    photo, torn = tmp_path / "photo.png", tmp_path / "torn.mkv"
    Image.new("RGB", (40, 30)).save(photo)
    torn.write_bytes(b"no clip")
    inputs, out = (photo, tmp_path / "clip.mp4", torn), tmp_path / "out"
    code, text, err = call(
        "predict", trained, *inputs, "--out", out, "--only", "mask,overlay", "--smooth", 0.5, "--json"
    )
    result = json.loads(text)
    assert code == 1 and result["predicted"] == 1 and [clip["frames"] for clip in result["clips"]] == [3]
    assert "3 frames of 1 of 2 clips predicted" in err and f"Invalid clip: cannot read {torn}" in err
    names = {path.name for path in out.iterdir()}
    assert names == {"photo_mask.png", "clip_mask.mkv", "clip_overlay.mp4", "predictions.json"}
    code, _, err = call("predict", trained, *inputs, "--out", out, "--only", "overlay")
    assert code == 1 and "Invalid --only: got 'overlay', nothing of images; must name some of mask," in err


def test_clips_that_cannot_be_predicted_are_refused_before_the_first_prediction(
    call: Run, trained: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (40, 30)).save(photo)
    clips = tmp_path / "a.mp4", tmp_path / "a.mov"
    for arguments, said in (
        ((photo, *clips), f"Invalid clips: got the stem 'a' of {clips[0]} again in {clips[1]}; must differ"),
        ((photo, clips[0], "--smooth", 1), "Invalid --smooth: got 1; must be at least 0 and below 1"),
        ((photo, "--smooth", 0.5), "Invalid --smooth: got 0.5 without a clip; must be left out for images"),
        ((photo, clips[0], "--only", "mask,classes"), "Invalid output: got 'classes'"),
    ):
        code, _, err = call("predict", trained, *arguments, "--out", tmp_path / "out")
        assert code == 1 and said in err and not (tmp_path / "out").exists()

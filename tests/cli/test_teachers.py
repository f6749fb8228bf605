"""`qumade generate` with teacher networks, from the command line to the dataset."""

import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from qumade.cli import main
from qumade.data.opening import open_dataset
from qumade.generation import ray_executor
from qumade.generation.executors import this_process

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(asset_folders: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `qumade generate`, or another verb, on tiny assets; returns its exit code and its output."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.chdir(asset_folders)
    monkeypatch.setenv("XDG_CACHE_HOME", str(asset_folders / "cache"))

    def command(*flags: str | Path, verb: str = "generate") -> tuple[int, str]:
        tiny = "--backgrounds backgrounds --foregrounds foregrounds --size 32x24 --per-pair 1"
        tiny += " --limit 4 --workers 1" if verb == "generate" else ""
        monkeypatch.setattr(sys, "argv", ["qumade", verb, *tiny.split(), *map(str, flags)])
        with pytest.raises(SystemExit) as end:
            main()
        written = capfd.readouterr()
        return int(end.value.code or 0), written.out + written.err

    return command


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes every network fail if it runs."""

    def forward(*_: Any, **__: Any) -> None:
        raise AssertionError("computed again")

    def start() -> None:
        for name in ("DepthAnythingForDepthEstimation", "SegformerForSemanticSegmentation"):
            monkeypatch.setattr(getattr(transformers, name), "forward", forward)

    return start


@pytest.mark.parametrize(("family", "kind"), [("depth_anything", "affine"), ("depth_anything_metric", "metric")])
def test_backgrounds_are_labelled_once_and_the_kind_is_recorded(
    run: Run, saved_model: Any, forbid: Callable[[], None], asset_folders: Path, family: str, kind: str
) -> None:
    code, text = run("--out", "out", "--depth-teacher", saved_model(family))
    assert code == 0, text
    assert f"Depth: kind {kind}, from depth maps" in text
    dataset = open_dataset("out")
    assert (dataset.depth_encoding.kind, dataset.depth_encoding.source) == (kind, "depths")
    description = yaml.safe_load(Path("out/dataset.yaml").read_text())
    recipe = description["recipe"]
    assert recipe["depths_kind"] == kind and recipe["depth_teacher"] is None
    assert recipe["depths"].startswith("../cache/qumade/depth-1-")
    assert all(asset["depth_sha256"] for asset in description["assets"]["backgrounds"])
    first = min(Path("out/depth").iterdir()).name
    before = Path("out/depth", first).read_bytes()

    forbid()
    code, text = run("--out", "out", "--depth-teacher", saved_model(family))
    assert code == 0 and "already complete" in text
    assert run("--out", "again", "--depth-teacher", saved_model(family))[0] == 0
    assert run("--out", "third", "--recipe", "out/dataset.yaml")[0] == 0  # the recipe no longer names a network
    for out in ("again", "third"):
        assert yaml.safe_load(Path(out, "dataset.yaml").read_text()) == description
        assert Path(out, "depth", first).read_bytes() == before


@pytest.mark.slow
def test_teachers_and_shards_are_tasks_of_one_cluster(
    run: Run, saved_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def tasks(work: Any, units: Any, **options: Any) -> Any:
        asked.append((type(work).__name__, options))
        yield from this_process(work, units)

    monkeypatch.setattr(ray_executor, "ray_tasks", tasks)
    Path("recipe.yaml").write_text("{backgrounds: backgrounds, foregrounds: foregrounds, ground: [road]}")
    teachers = "--depth-teacher", saved_model("depth_anything"), "--label-teacher", saved_model("segformer")
    code, text = run("--out", "out", "--recipe", "recipe.yaml", "--format", "shards", "--executor", "ray", *teachers)
    assert code == 0, text
    here = {"address": None, "workers": 1}
    assert asked == [*[("LabelPictures", {**here, "gpu": True})] * 2, ("DrawShards", here)]


def test_label_teacher_gives_labels_and_their_names(
    run: Run, saved_model: Any, forbid: Callable[[], None], asset_folders: Path
) -> None:
    recipe = {"backgrounds": "backgrounds", "foregrounds": "foregrounds", "ground": ["road"], "target": ["car"]}
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    flags = ("--recipe", "recipe.yaml", "--label-teacher", saved_model("segformer"), "--teacher-cache", "elsewhere")
    code, text = run("--out", "out", *flags)
    assert code == 0, text
    made = yaml.safe_load(Path("out/dataset.yaml").read_text())
    labels = Path("out", made["recipe"]["labels"])
    assert labels.resolve().parent.parent == asset_folders / "elsewhere"
    assert yaml.safe_load(Path("out", made["recipe"]["label_names"]).read_text()) == {0: "road", 1: "sky", 2: "car"}
    size = Image.open("backgrounds/photo_1.png").size
    assert np.load(labels / "photo_1.npy").shape == size[::-1]
    assert made["assets"]["label_names_sha256"]
    assert (Path("out") / "ignore").is_dir()
    forbid()
    assert run("--out", "out", *flags)[0] == 0


def test_check_draws_the_labels_of_teachers(
    run: Run, saved_model: Any, forbid: Callable[[], None], asset_folders: Path
) -> None:
    recipe = {"backgrounds": "backgrounds", "foregrounds": "foregrounds", "ground": ["road"], "target": ["car"]}
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    teachers = ("--label-teacher", saved_model("segformer"), "--depth-teacher", saved_model("depth_anything"))
    code, text = run("--recipe", "recipe.yaml", *teachers, "--sheet", "check.png", verb="check")
    assert code in (0, 1), text
    assert str(asset_folders / "check.png") in text
    assert Image.open("check.png").width > 300
    forbid()
    assert run("--recipe", "recipe.yaml", *teachers, verb="check")[0] == code
    code, text = run("--label-teacher", "a/b", "--labels", "d", verb="check")
    assert code == 2 and "qumade check takes --label-teacher or --labels" in text


def test_depth_of_composites_is_predicted(run: Run, saved_model: Any, asset_folders: Path) -> None:
    flags = ("--depth", "composite", "--depth-teacher", saved_model("depth_anything"))
    code, text = run("--out", "out", *flags)
    assert code == 0, text
    assert f"Depth: kind affine, from the composites by {saved_model('depth_anything')}" in text
    code_of = open_dataset("out").depth_encoding
    assert (code_of.kind, code_of.source, code_of.range) == ("affine", "composite", "image")
    assert not Path("cache").exists()
    code, text = run("--out", "out", *flags)
    assert code == 0 and "already complete" in text


@pytest.mark.parametrize("more", [(), ("--depth", "composite")])
def test_a_missing_model_is_reported_in_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: tuple[str, ...]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    code, text = run("--out", "out", "--depth-teacher", "auto", *more)
    assert code == 1 and text.count("\n") == 1
    assert "hf download depth-anything/Depth-Anything-V2-Small-hf" in text
    assert not Path("out").exists()


def test_wrong_settings_are_reported_before_a_network_is_loaded(run: Run) -> None:
    code, text = run("--out", "out", "--depth-teacher", "auto", "--min-visible", "7")
    assert code == 1 and "min-visible" in text and "hf download" not in text
    code, text = run("--out", "out", "--depth", "composite")
    assert code == 1 and "Invalid --depth-teacher: got nothing in the command line" in text


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--depth-teacher", "auto", "--depths", "d"), "--depth-teacher or --depths"),
        (("--depth-teacher", "auto", "--depths-kind", "affine"), "--depth-teacher or --depths-kind"),
        (("--label-teacher", "a/b", "--labels", "d"), "--label-teacher or --labels"),
        (("--label-teacher", "a/b", "--label-names", "camvid"), "--label-teacher or --label-names"),
    ],
)
def test_two_sources_of_the_same_labels_are_wrong_usage(run: Run, flags: tuple[str, ...], words: str) -> None:
    code, text = run("--out", "out", *flags)
    assert code == 2 and words in text and text.count("\n") == 1


@pytest.mark.parametrize(("verb", "composes"), [("generate", True), ("check", False), ("import", False)])
def test_only_generate_promises_composite_depth(
    verb: str, composes: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["qumade", verb, "--help"])
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit):
        main()
    assert ("predicts the depth of every composed image" in " ".join(capsys.readouterr().out.split())) == composes


@pytest.mark.slow
def test_generate_without_a_teacher_imports_no_torch(asset_folders: Path) -> None:
    script = """
import sys
from qumade.cli import main
tiny = "--backgrounds backgrounds --foregrounds foregrounds --size 32x24 --per-pair 1 --limit 1 --workers 1 --out out"
for flags in (["--help"], tiny.split()):
    sys.argv = ["qumade", "generate", *flags]
    try:
        main()
    except SystemExit as end:
        print("code", end.code)
    print("heavy", sorted({"torch", "transformers", "onnxruntime"} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=asset_folders, timeout=300
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(("code", "heavy"))]
    assert lines == ["code 0", "heavy []"] * 2, done.stderr

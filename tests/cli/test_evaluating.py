import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from qumade.depth.encoding import DepthKind
from qumade.errors import QumadeError
from qumade.models.config import NetworkConfig
from qumade.prediction.predictor import Prediction

Run = Callable[..., SimpleNamespace]
SPLITS = ["train", "test", "test", "seen background", "seen foreground", "val"]


@dataclass
class Fake:
    """A network of one strength: it takes what is brighter for the object, and the row for inverse depth."""

    threshold: int
    path: Path
    depth_kind: DepthKind | None = "scaled"

    @property
    def config(self) -> NetworkConfig:
        return NetworkConfig(depth_kind=self.depth_kind)

    def __call__(self, images: list[np.ndarray]) -> list[Prediction]:
        found = []
        for image in images:
            rows = np.linspace(0, 1, image.shape[0], dtype=np.float32)[:, None].repeat(image.shape[1], 1)
            found.append(Prediction((image[:, :, 0] > self.threshold).astype(np.float32), rows))
        return found


@pytest.fixture
def run(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls the command in this process; RUN paths good and bad load fake networks."""

    def load(path: Path, device: str | None = None) -> Fake:
        if path.name not in ("good", "bad"):
            raise QumadeError(f"Invalid network: got nothing at {path.absolute()}; must be the folder of a run")
        return Fake(128 if path.name == "good" else 40, path.absolute())

    monkeypatch.setattr("qumade.evaluation.runs.load_predictor", load)
    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six pictures of a bright box on darker ground, inverse depth rising from row to row, in five splits."""
    root = tmp_path / "data"
    for folder in ("images", "masks", "depth"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(6):
        image = rng.integers(0, 60, (24, 32, 3), np.uint8)
        mask = np.zeros((24, 32), np.uint8)
        mask[10:18, 4 + number : 14 + number] = 255
        image[mask > 0] = 200
        depth = np.linspace(0, 65535, 24).astype(np.uint16)[:, None].repeat(32, 1)
        for folder, pixels in (("images", image), ("masks", mask), ("depth", depth)):
            Image.fromarray(pixels).save(root / folder / f"img{number + 1:06d}.png")
    described = {"kind": "scaled", "code": "inverse", "bits": 16, "range": [0.0, 1.5]}
    content = {"format": "qumade-dataset/1", "complete": True, "samples": 6, "size": [32, 24], "depth": described}
    (root / "dataset.yaml").write_text(yaml.safe_dump(content))
    stems = [f"img{number + 1:06d}" for number in range(6)]
    pq.write_table(pa.table({"stem": stems, "split": SPLITS}), root / "manifest.parquet")
    return root


@pytest.mark.slow
def test_evaluate_prints_and_writes(run: Run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "evaluation"
    result = run("evaluate", tmp_path / "good", data, "--out", out, "--json")
    assert result.code == 0
    (line,) = result.out.splitlines()
    found = json.loads(line)
    assert found["alignment"] == "scale" and found["report"] == str(out / "report.html")
    assert set(found["groups"]) == {"all", *SPLITS}
    assert found["groups"]["all"]["means"]["mask_iou"] == 1 and found["groups"]["test"]["pictures"] == 2
    assert found["groups"]["all"]["means"]["depth_delta1"] == pytest.approx(1)
    assert found["groups"]["all"]["trivial_baseline"]["depth_delta1"] < 0.9
    assert {path.name for path in out.iterdir()} == {"scores.parquet", "worst.png", "report.html"}
    assert pq.read_table(out / "scores.parquet")["stem"].to_pylist()[0] == "img000001"
    text = run("evaluate", tmp_path / "good", data, "--out", out).out
    assert "Few samples: 1 of train, 1 of val, 2 of test" in text
    assert "Few samples:" in (out / "report.html").read_text()
    assert "trivial baseline" in text and "boundary IoU" in text and text.splitlines()[-1] == str(out / "report.html")


@pytest.mark.slow
def test_evaluate_some_pictures(run: Run, data: Path, tmp_path: Path) -> None:
    where = ("evaluate", tmp_path / "bad", data, "--json", f"--out={tmp_path / 'e'}")
    groups = json.loads(run(*where, "--split", "test", "--split", "val").out)["groups"]
    assert {name: group["pictures"] for name, group in groups.items()} == {"all": 3, "test": 2, "val": 1}
    assert json.loads(run(*where, "--limit=2").out)["groups"]["all"]["pictures"] == 2
    assert json.loads(run(*where, "--min-object-share=0.1").out)["min_object_share"] == 0.1


@pytest.mark.slow
def test_the_protocol_of_the_legacy_notebook(run: Run, data: Path, tmp_path: Path) -> None:
    where = ("evaluate", tmp_path / "good", data, "--protocol=legacy_notebook", f"--out={tmp_path / 'e'}")
    lines = run(*where).out.splitlines()
    assert lines[0].split()[0] == "all" and "boundary IoU" in " ".join(lines)
    at = lines.index("Metrics of the legacy notebook:")
    assert lines[at + 1].split() == ["a1", "a2", "a3", "abs_rel", "rmse", "log_10"]
    found = json.loads(run(*where, "--json").out)["legacy"]
    assert found["mask"]["a1"] == 1 and found["mask"]["rmse"] == 0 and 0 < found["depth"]["rmse"] < 1


@pytest.mark.slow
def test_a_run_of_other_data_is_told(run: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "recipe.yaml").touch()
    for trained, told in ((data, False), (tmp_path / "recipe.yaml", True)):
        (tmp_path / "good" / "config.yaml").write_text(f"data: {trained}\n")
        text = run("evaluate", tmp_path / "good", data, "--out", tmp_path / "e").out
        assert (f"The network was trained on {trained}, not on {data}" in text) == told


@pytest.mark.slow
def test_compare(run: Run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "comparison"
    runs = (tmp_path / "good", tmp_path / "bad")
    result = run("compare", *runs, "--on", data, data, "--out", out, "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert found["runs"] == {"A": "good", "B": "bad"} and len(found["datasets"]) == 2
    scores = found["datasets"][0]["differences"][0]["scores"]
    assert (
        scores["mask_iou"]["value"] > 0.3 and scores["mask_iou"]["low"] is None and scores["mask_iou"]["pictures"] == 6
    )
    page = (out / "comparison.html").read_text()
    assert "Where A beats B in mask IoU" in page and "data:image/jpeg" in page
    assert run("compare", *runs, "--on", data, "--out", out).out.splitlines()[-1] == str(out / "comparison.html")
    again = shutil.copytree(data, tmp_path / "deeper" / "data")
    equal = run("compare", *runs, "--on", data, again, "--out", out)
    assert f"\n{data}: 6 pictures" in equal.out and f"\n{again}: 6 pictures" in equal.out
    assert equal.out.count("Few samples: 6 of all.") == 2 and "Few samples: 6 of all." in page
    same = run("compare", runs[0], tmp_path / "deeper" / "good", "--on", data, "--out", out, "--json")
    assert json.loads(same.out)["runs"] == {"A": str(runs[0]), "B": str(tmp_path / "deeper" / "good")}


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("evaluate", "good", "nowhere"), "nowhere"),
        (("evaluate", "nothing", "DATA"), "Invalid network"),
        (("evaluate", "good", "DATA", "--split=mixed"), "Invalid split: got mixed"),
        (("evaluate", "good", "DATA", "--limit=0"), "Invalid limit: got 0"),
        (("evaluate", "good", "DATA", "--min-object-share=0.9"), "got 0.9; must be at most"),
        (("compare", "good", "--on=DATA"), "got 1 runs; must be at least 2"),
        (("compare", "good", "nothing", "--on=DATA"), "Invalid network"),
        (("evaluate", "good", "DATA", "--split=val", "--split=tset"), "Invalid split: got tset of data"),
        (("evaluate", "good", "DATA", "--min-object-share=nan"), "got nan; must be from 0 to 1"),
        (("evaluate", "good", "DATA", "--out=DATA/dataset.yaml"), "dataset.yaml is no folder"),
        (("compare", "good", "bad", "--on=DATA", "--out=DATA/dataset.yaml"), "dataset.yaml is no folder"),
        (("compare", "good", "bad", "--on=DATA", "--split=tset"), "Invalid split: got tset of data"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], wanted: str
) -> None:
    monkeypatch.chdir(data.parent)
    result = run(*(argument.replace("DATA", str(data)) for argument in arguments))
    assert (result.code, result.out) == (1, "")
    assert wanted in result.err.strip().splitlines()[-1]


@pytest.mark.parametrize("arguments", [["evaluate"], ["evaluate", "good"], ["compare", "good", "bad"], ["compare"]])
def test_wrong_usage(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")


@pytest.mark.slow
def test_evaluating_needs_no_torch() -> None:
    modules = (
        "evaluation.evaluation",
        "evaluation.compare",
        "evaluation.report",
        "evaluation.runs",
        "metrics.bootstrap",
    )
    code = f"import sys, {', '.join(f'qumade.{name}' for name in modules)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qumade import __version__, cli

VERBS = [name for name in cli.app if not name.startswith("-")]
RUN = [sys.executable, "-c", "from qumade.cli import main; main()"]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def last_line(self) -> Any:
        """The one JSON object on stdout."""
        (line,) = self.out.splitlines()
        return json.loads(line)


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Calls the command in this process, as its entry point does."""
    monkeypatch.setenv("COLUMNS", "200")
    at_sigterm, show = signal.getsignal(signal.SIGTERM), warnings.showwarning

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["qumade", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            cli.main()
        captured = capsys.readouterr()
        assert isinstance(exit_info.value.code, int)
        return Result(exit_info.value.code, captured.out, captured.err)

    yield call
    signal.signal(signal.SIGTERM, at_sigterm)
    warnings.showwarning = show


@pytest.fixture
def assets(asset_folders: Path) -> Path:
    """The asset folders, and labels/ for their backgrounds: road in the lower half, sky above, no ground in photo_2."""
    (asset_folders / "labels").mkdir()
    for number, (width, height) in enumerate([(60, 45), (80, 50), (45, 60)]):
        ids = np.where(np.mgrid[:height, :width][0] < height // 2, 10, 2 if number == 2 else 0).astype(np.uint8)
        Image.fromarray(ids).save(asset_folders / "labels" / f"photo_{number}.png")
    return asset_folders


def folders_of(assets: Path, *more: str) -> list[str]:
    return [f"--{name}={assets / name}" for name in ("backgrounds", "foregrounds", *more)]


TINY = ("--size=32x24", "--per-pair=2", "--workers=1")


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_an_example(run: Run, verb: str) -> None:
    result = run(verb, "--help")
    assert result.code == 0 and f"Example: qumade {verb} " in result.out


def test_help_and_version(run: Run) -> None:
    result = run("--help")
    assert result.code == 0 and all(verb in result.out for verb in VERBS)
    assert run("--version").out.strip() == __version__


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["check", "--help"]])
def test_help_imports_no_heavy_library(arguments: list[str]) -> None:
    code = (
        f"import sys; from qumade import cli; sys.argv[1:] = {arguments!r}\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'numba', 'PIL', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_generating_imports_no_network_library(assets: Path, tmp_path: Path) -> None:
    arguments = ["generate", *folders_of(assets), *TINY, "--limit=3", f"--out={tmp_path / 'data'}"]
    code = (
        f"import sys; from qumade import cli; sys.argv[1:] = {arguments!r}\n"
        "try: cli.main()\n"
        "except SystemExit as done: print(done.code, sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["generate"],
        ["generate", "--out=data"],
        ["generate", "--out=data", "--recipe=r.yaml", "--placement=best"],
        ["generate", "--out=data", "--recipe=r.yaml", "--per-pair=many"],
        ["generate", "--out=data", "--recipe=r.yaml", "--perpair=3"],
        ["check"],
        ["check", "--backgrounds=b"],
        ["preview"],
        ["audit"],
        ["stats", "a", "b"],
    ],
)
def test_wrong_usage_ends_with_2_and_nothing_on_stdout(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, "") and result.err


@pytest.mark.parametrize(
    ("flag", "wanted"),
    [
        ("--size=big", "--size: got 'big'"),
        ("--size=10x10x10", "--size: got '10x10x10'"),
        ("--size=4", "size.0: got 4"),
        ("--size=", "size: got ''"),
        ("--crop=0.5,0.7,0.9", "--crop: got '0.5,0.7,0.9'"),
        ("--crop=half", "--crop: got 'half'"),
        ("--crop=0", "crop.0: got 0"),
        ("--horizon=low", "--horizon: got 'low'"),
        ("--per-pair=0", "per_pair: got 0"),
        ("--labels=nowhere", "labels"),
        ("--label-names=nobody", "nobody"),
        ("--placement=semantic", "needs labels"),
    ],
)
@pytest.mark.parametrize("verb", ["check", "generate"])
def test_wrong_values_end_with_1_and_one_line(run: Run, assets: Path, verb: str, flag: str, wanted: str) -> None:
    more = [f"--labels={assets / 'labels'}"] if flag.startswith("--label-names") else []
    more += [f"--out={assets / 'data'}"] if verb == "generate" else []
    result = run(verb, *folders_of(assets), *more, flag)
    (line,) = result.err.strip().splitlines()[-1:]
    assert (result.code, result.out) == (1, "")
    assert line.startswith("Error: ") and wanted in line
    assert not (assets / "data").exists()


def test_missing_folders_files_and_datasets(run: Run, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    for arguments in (
        ["check", f"--backgrounds={missing}", f"--foregrounds={missing}"],
        ["generate", f"--recipe={missing}.yaml", f"--out={tmp_path / 'data'}"],
        ["preview", missing],
        ["audit", missing],
        ["stats", missing],
    ):
        result = run(*arguments)
        assert (result.code, result.out) == (1, "")
        assert result.err.startswith("Error: ") and str(missing) in result.err and result.err.count("\n") == 1


def test_check_without_maps_draws_nothing(run: Run, assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(assets)
    result = run("check", *folders_of(assets), "--size=32", "--json")
    assert result.code == 0 and not (assets / "check.png").exists()
    assert result.last_line["samples"] == 3 * 5 * 20
    assert "3 files, 3 usable" in result.err


def test_check_with_labels_draws_the_sheet_and_counts_what_is_left_out(
    run: Run, assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(assets)
    result = run("check", *folders_of(assets, "labels"), "--size=32")
    assert result.code == 1
    assert result.out.splitlines()[-1] == str(assets / "check.png")
    assert "3 files, 2 usable" in result.out and "nowhere to stand" in result.out
    with Image.open(assets / "check.png") as sheet:
        assert sheet.format == "PNG" and sheet.width >= 800
    result = run("check", *folders_of(assets, "labels"), "--size=32", "--placement=random", "--sheet=other.png")
    assert result.code == 0 and (assets / "other.png").is_file()


def test_check_of_a_recipe_takes_its_policies_and_flags_win(run: Run, assets: Path) -> None:
    recipe = assets / "recipe.yaml"
    recipe.write_text(
        "backgrounds: backgrounds\nforegrounds: foregrounds\nlabels: labels\nplacement: semantic\nnowhere: random\n"
    )
    sheet = f"--sheet={assets / 'sheet.png'}"
    result = run("check", f"--recipe={recipe}", "--size=32", sheet, "--json")
    assert result.code == 0
    (finding,) = result.last_line["findings"]
    assert (finding["severity"], finding["reason"]) == ("warning", "nowhere")
    assert result.last_line["samples"] == 3 * 5 * 20
    assert run("check", f"--recipe={recipe}", "--size=32", sheet, "--per-pair=3", "--json").last_line["samples"] == 45


def test_from_assets_to_statistics(run: Run, assets: Path, tmp_path: Path) -> None:
    data, sheet = tmp_path / "data", tmp_path / "sheet.png"
    made = run("generate", *folders_of(assets), *TINY, f"--out={data}", "--json")
    assert made.code == 0
    assert (made.last_line["samples"], made.last_line["drawn"]) == (30, 30) and str(data) in made.err
    assert len(list((data / "images").iterdir())) == len(list((data / "masks").iterdir())) == 30
    again = run("generate", *folders_of(assets), *TINY, f"--out={data}", "--json")
    assert again.code == 0 and again.last_line["drawn"] == 0 and "finished already" in again.err

    audited = run("audit", data, "--fraction=1", "--json")
    assert audited.code == 0
    assert (audited.last_line["samples"], audited.last_line["redrawn"]) == (30, 30)
    measured = run("stats", data, "--workers=1", "--json")
    assert measured.code == 0
    assert measured.last_line == json.loads((data / "statistics.json").read_text())
    assert run("preview", data, f"--out={sheet}", "--count=4").out.strip() == str(sheet)
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"

    (data / "images" / "img000007.jpg").write_bytes(b"torn")
    audited = run("audit", data, "--json")
    assert audited.code == 1 and "img000007" in json.dumps(audited.last_line["problems"])


def test_preview_of_a_recipe(run: Run, assets: Path, tmp_path: Path) -> None:
    recipe, sheet = assets / "recipe.yaml", tmp_path / "sheet.png"
    recipe.write_text("backgrounds: backgrounds\nforegrounds: foregrounds\nsize: [32, 24]\n")
    assert run("preview", recipe, f"--out={sheet}", "--count=4").code == 0
    with Image.open(sheet) as picture:
        assert picture.width >= 640


def test_another_recipe_does_not_go_on_in_the_folder_of_one(run: Run, assets: Path, tmp_path: Path) -> None:
    out = f"--out={tmp_path / 'data'}"
    assert run("generate", *folders_of(assets), *TINY, out, "--limit=2").code == 0
    refused = run("generate", *folders_of(assets), *TINY, out, "--limit=2", "--seed=1")
    assert refused.code == 1 and refused.err.strip().splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize(
    ("error", "code", "wanted"),
    [
        (KeyboardInterrupt(), 130, "Interrupted; the same command goes on from here"),
        (
            OSError(28, "No space left on device", "full.jpg"),
            1,
            f"No space left on device: {Path('full.jpg').absolute()}",
        ),
    ],
)
def test_whatever_stops_a_run_says_that_it_goes_on(
    run: Run, assets: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, wanted: str
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("qumade.generate.engine.generate", stop)
    result = run("generate", *folders_of(assets), f"--out={assets / 'data'}")
    assert result.code == code and wanted in result.err and result.out == ""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_with_130_and_leave_what_was_drawn(assets: Path, tmp_path: Path, number: signal.Signals) -> None:
    data = tmp_path / "data"
    command = [*RUN, "generate", *folders_of(assets), "--size=32x24", "--per-pair=200000", "--workers=1"]
    process = subprocess.Popen([*command, f"--out={data}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not any(data.glob("images/*.jpg")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Interrupted; the same command goes on from here" in err and "Traceback" not in err
    assert any(data.glob("images/*.jpg")) and not (data / "manifest.parquet").exists()


def test_samples_are_written(run: Run, tmp_path: Path) -> None:
    result = run("samples", tmp_path / "samples")
    assert result.code == 0 and (tmp_path / "samples" / "recipe.yaml").is_file()
    assert str(tmp_path / "samples") in result.out
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("")
    assert run("samples", tmp_path / "other").code == 1

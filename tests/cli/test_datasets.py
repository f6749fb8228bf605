import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

Run = Callable[..., Any]
Folders = Callable[..., list[str]]

TINY = ("--size=32x24", "--per-pair=2", "--workers=1")


@pytest.mark.slow
def test_from_assets_to_statistics(run: Run, folders: Folders, tmp_path: Path) -> None:
    data, sheet = tmp_path / "data", tmp_path / "sheet.png"
    made = run("generate", *folders(), *TINY, f"--out={data}", "--json")
    assert made.code == 0
    assert (made.last_line["samples"], made.last_line["drawn"]) == (30, 30) and str(data) in made.err
    assert len(list((data / "images").iterdir())) == len(list((data / "masks").iterdir())) == 30
    again = run("generate", *folders(), *TINY, f"--out={data}", "--json")
    assert again.code == 0 and again.last_line["drawn"] == 0 and "already complete" in again.err

    audited = run("audit", data, "--fraction=1", "--json")
    assert audited.code == 0
    assert (audited.last_line["samples"], audited.last_line["redrawn"]) == (30, 30)
    measured = run("stats", data, "--workers=1", "--json")
    assert measured.code == 0
    assert measured.last_line == json.loads((data / "statistics.json").read_text())
    assert measured.err.splitlines()[-2:] == [str(data / "statistics.json"), str(data / "placements.png")]
    assert run("preview", data, f"--out={sheet}", "--count=4").out.strip() == str(sheet)
    for path in (sheet, data / "placements.png"):
        with Image.open(path) as opened:
            assert opened.format == "PNG"

    (data / "images" / "img000007.jpg").write_bytes(b"torn")
    audited = run("audit", data, "--json")
    assert audited.code == 1 and "img000007" in json.dumps(audited.last_line["problems"])


def test_flags_become_the_recipe(run: Run, folders: Folders, tmp_path: Path) -> None:
    flags = {
        "--horizon": ("0.3", "horizon", {"default": 0.3}),
        "--per-pair": ("1", "per_pair", 1),
        "--size": ("32x24", "size", [32, 24]),
        "--crop": ("0.6,0.9", "crop", [0.6, 0.9]),
        "--objects": ("1,2", "objects", [1, 2]),
        "--scale": ("0.2,0.3", "scale", {"default": [0.2, 0.3]}),
        "--centre-row": ("0.5", "centre_row", [0.5, 0.5]),
        "--min-visible": ("0.4", "min_visible", 0.4),
        "--mask": ("binary", "mask", "binary"),
        "--encoding": ("lossless", "encoding", "lossless"),
        "--depth-near": ("0.25", "depth_near", 0.25),
        "--seed": ("7", "seed", 7),
    }
    given = [f"{flag}={text}" for flag, (text, _, _) in flags.items()]
    out = tmp_path / "data"
    assert run("generate", *folders(), *given, "--no-mirror-backgrounds", "--limit=3", f"--out={out}").code == 0
    recipe = yaml.safe_load((out / "dataset.yaml").read_text())["recipe"]
    assert {name: recipe[name] for _, name, _ in flags.values()} == {name: value for _, name, value in flags.values()}
    assert recipe["mirror_backgrounds"] is False and len(list((out / "images").glob("*.png"))) == 3
    with Image.open(next((out / "masks").iterdir())) as mask:
        assert mask.size == (32, 24) and set(mask.getdata()) <= {0, 255}


def test_the_source_of_depth_is_reported(run: Run, folders: Folders, assets: Path, tmp_path: Path) -> None:
    printed = run("generate", *folders(), *TINY, "--limit=2", f"--out={tmp_path / 'prior'}").out
    assert "2 samples in" in printed and "Depth: kind scaled, from the prior 'flat'; " in printed
    (assets / "depths").mkdir()
    for number, size in enumerate([(60, 45), (80, 50), (45, 60)]):
        Image.new("I;16", size, 256 * 10).save(assets / "depths" / f"photo_{number}.png")
    printed = run("generate", *folders("depths"), *TINY, "--limit=2", f"--out={tmp_path / 'maps'}").out
    assert "Depth: kind metric, from depth maps; " in printed


def test_unusable_assets_are_left_out_or_refused(run: Run, folders: Folders, assets: Path, tmp_path: Path) -> None:
    torn = assets / "foregrounds" / "disc.png"
    torn.write_bytes(torn.read_bytes()[:100])
    command = ["generate", *folders(), *TINY, f"--out={tmp_path / 'data'}"]
    refused = run(*command, "--strict")
    assert (refused.code, refused.out) == (1, "") and str(torn) in refused.err.splitlines()[-1]
    assert not (tmp_path / "data").exists()
    made = run(*command, "--json")
    assert made.code == 0 and made.last_line["samples"] == 3 * 4 * 2 and f"error: foreground {torn}: " in made.err


def test_preview_of_a_recipe(run: Run, assets: Path, tmp_path: Path) -> None:
    recipe, sheet = assets / "recipe.yaml", tmp_path / "sheet.png"
    recipe.write_text("backgrounds: backgrounds\nforegrounds: foregrounds\nsize: [32, 24]\n")
    assert run("preview", recipe, f"--out={sheet}", "--count=4").code == 0
    with Image.open(sheet) as picture:
        assert picture.width >= 640


def test_another_recipe_is_refused_in_the_folder_of_a_dataset(run: Run, folders: Folders, tmp_path: Path) -> None:
    out = f"--out={tmp_path / 'data'}"
    assert run("generate", *folders(), *TINY, out, "--limit=2").code == 0
    refused = run("generate", *folders(), *TINY, out, "--limit=2", "--seed=1")
    assert refused.code == 1 and refused.err.strip().splitlines()[-1].startswith("Error: ")


def test_a_sheet_is_a_png_file(run: Run, tmp_path: Path) -> None:
    result = run("preview", tmp_path, "--out=s.xyz")
    assert result.code == 1 and "Invalid --out: got s.xyz; must end in .png" in result.err
    result = run("check", f"--backgrounds={tmp_path}", f"--foregrounds={tmp_path}", "--sheet=s.jpg")
    assert result.code == 1 and "Invalid --sheet: got s.jpg; must end in .png" in result.err


@pytest.mark.parametrize("verb", ["generate", "preview", "audit", "stats"])
def test_missing_paths_are_reported_in_one_line(run: Run, tmp_path: Path, verb: str) -> None:
    missing = tmp_path / "missing.yaml"
    arguments = [f"--recipe={missing}", f"--out={tmp_path / 'data'}"] if verb == "generate" else [missing]
    result = run(verb, *arguments)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Error: ") and str(missing) in result.err and result.err.count("\n") == 1


def test_stats_of_a_dataset_that_may_only_be_read_are_told(
    run: Run, make_dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write everywhere: the folder is refused as a read-only file system refuses it."""
    root = make_dataset(folders=("images", "masks"))
    wanted, opened = run("stats", root, "--workers=1", "--json").last_line, Path.open
    (root / "statistics.json").unlink()
    before = sorted(root.rglob("*"))

    def refuse(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if path.is_relative_to(root) and set(mode) & set("wax+"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", refuse)
    told = run("stats", root, "--workers=1")
    assert told.code == 0 and f"{wanted['samples']} samples" in told.out
    assert f"warning: Invalid output: cannot write {root / 'statistics.json'}: Read-only file system" in told.err
    told = run("stats", root, "--workers=1", "--json")
    assert told.code == 0 and told.last_line == wanted and sorted(root.rglob("*")) == before

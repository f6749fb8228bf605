from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Run = Callable[..., Any]
Folders = Callable[..., list[str]]


def test_the_demo_writes_into_the_given_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[Path, int | None]] = []
    monkeypatch.setattr("qumade.demo.run_demo", lambda *arguments: called.append(arguments))
    assert run("demo").code == 0
    assert run("demo", "--out", tmp_path, "--workers=3").code == 0
    assert called == [(Path("out/demo"), None), (tmp_path, 3)]


def test_samples_are_written(run: Run, tmp_path: Path) -> None:
    result = run("samples", tmp_path / "samples")
    assert result.code == 0 and (tmp_path / "samples" / "recipe.yaml").is_file()
    assert str(tmp_path / "samples") in result.out
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("")
    refused = run("samples", tmp_path / "other")
    assert (refused.code, refused.out) == (1, "") and str(tmp_path / "other") in refused.err


def test_check_without_maps_draws_nothing(
    run: Run, folders: Folders, assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(assets)
    result = run("check", *folders(), "--size=32", "--json")
    assert result.code == 0 and not (assets / "check.png").exists()
    assert result.last_line["samples"] == 3 * 5 * 20
    assert "3 files, 3 usable" in result.err


def test_check_with_labels_draws_the_sheet_and_counts_what_is_left_out(
    run: Run, folders: Folders, assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(assets)
    result = run("check", *folders("labels"), "--label-names=cityscapes", "--size=32", "--placement=perspective")
    assert result.code == 1 and not list(assets.glob("*.png"))
    result = run(
        "check",
        *folders("labels"),
        "--label-names=cityscapes",
        "--size=32",
        "--placement=perspective",
        "--sheet=check.png",
    )
    assert result.code == 1
    assert result.out.splitlines()[-1] == str(assets / "check.png")
    assert "3 files, 2 usable" in result.out and "nowhere to stand" in result.out
    with Image.open(assets / "check.png") as sheet:
        assert sheet.format == "PNG" and sheet.width >= 800
    result = run(
        "check", *folders("labels"), "--label-names=cityscapes", "--size=32", "--placement=random", "--sheet=other.png"
    )
    assert result.code == 0 and (assets / "other.png").is_file()


def test_check_uses_the_policies_of_a_recipe_and_flags_override_it(run: Run, assets: Path) -> None:
    recipe = assets / "recipe.yaml"
    recipe.write_text(
        "backgrounds: backgrounds\nforegrounds: foregrounds\nlabels: labels\nlabel_names: cityscapes\n"
        "placement: semantic\nno_ground: random\n"
    )
    sheet = f"--sheet={assets / 'sheet.png'}"
    result = run("check", f"--recipe={recipe}", "--size=32", sheet, "--json")
    assert result.code == 0
    (finding,) = result.last_line["findings"]
    assert (finding["severity"], finding["reason"]) == ("warning", "no-ground")
    assert result.last_line["samples"] == 3 * 5 * 20
    assert run("check", f"--recipe={recipe}", "--size=32", sheet, "--per-pair=3", "--json").last_line["samples"] == 45


def test_check_names_a_torn_file_and_continues(run: Run, folders: Folders, assets: Path) -> None:
    torn = assets / "backgrounds" / "photo_1.png"
    torn.write_bytes(torn.read_bytes()[:100])
    result = run("check", *folders(), "--size=32", "--json")
    assert result.code == 1
    (finding,) = (found for found in result.last_line["findings"] if found["severity"] == "error")
    assert (finding["kind"], finding["path"]) == ("background", str(torn))
    assert result.last_line["samples"] == 2 * 5 * 20


def test_check_counts_mirror_images_if_asked(run: Run, folders: Folders) -> None:
    command = ["check", *folders(), "--size=32", "--per-pair=1", "--json"]
    assert [run(*command, flag).last_line["samples"] for flag in ("--no-flip", "--flip")] == [15, 30]


def test_check_of_folders_that_are_missing_is_one_line(run: Run, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    result = run("check", f"--backgrounds={missing}", f"--foregrounds={missing}")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Error: ") and str(missing) in result.err and result.err.count("\n") == 1

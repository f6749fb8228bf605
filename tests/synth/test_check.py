import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qumade.errors import QumadeError
from qumade.recipe import Recipe
from qumade.synth.check import MAX_REUSE, AssetReport, check_assets, format_report
from qumade.synth.synthesizer import Synthesizer


def check(backgrounds: Path, foregrounds: Path, *, workers: int | None = None, **fields: Any) -> AssetReport:
    """A few images are too few for three splits, which would be an additional finding."""
    given = {"split": (1.0, 0.0, 0.0)} | fields
    return check_assets(Recipe(backgrounds=backgrounds, foregrounds=foregrounds, **given), workers=workers)


@pytest.fixture
def assets(tmp_path: Path, photo: np.ndarray, disc: np.ndarray) -> Path:
    """Backgrounds: two of 200x150. Cut-outs: a lopsided one, its mirror image, and a square."""
    backgrounds, foregrounds = tmp_path / "bg", tmp_path / "fg"
    backgrounds.mkdir()
    foregrounds.mkdir()
    Image.fromarray(photo).save(backgrounds / "a.png")
    Image.fromarray(255 - photo).save(backgrounds / "b.png")
    lopsided = disc.copy()
    lopsided[:, 30:, :3] = [0, 200, 50]
    square = np.zeros_like(disc)
    square[5:35, 15:45] = [0, 0, 255, 255]
    for name, pixels in {"left.png": lopsided, "right.png": lopsided[:, ::-1], "square.png": square}.items():
        Image.fromarray(np.ascontiguousarray(pixels)).save(foregrounds / name)
    return tmp_path


def reasons(report: AssetReport) -> list[tuple[str, str, str]]:
    return [(f.severity, Path(f.path).name, f.reason) for f in report.findings]


def test_nothing_to_report(assets: Path) -> None:
    report = check(assets / "bg", assets / "fg", size=(64, 48), per_pair=20)
    assert report.findings == ()
    assert (report.backgrounds.files, report.backgrounds.usable, report.backgrounds.identities) == (2, 2, 2)
    assert (report.foregrounds.files, report.foregrounds.usable, report.foregrounds.identities) == (3, 3, 2)
    assert (report.backgrounds.mirrored, report.foregrounds.mirrored) == (0, 2)
    assert (report.backgrounds.reuse, report.foregrounds.reuse) == (3 * 20, 2 * 20)
    assert report.samples == 2 * 3 * 20 == 2 * report.backgrounds.reuse == 3 * report.foregrounds.reuse


def test_flipping_adds_only_mirror_images_that_are_missing(assets: Path) -> None:
    report = check(assets / "bg", assets / "fg", size=(64, 48), per_pair=20, flip=True)
    assert report.added_mirrors == 1
    assert report.samples == 2 * (3 + 1) * 20
    assert (report.backgrounds.reuse, report.foregrounds.reuse) == (4 * 20, 2 * 20)


def test_copies_and_near_copies_are_reported(assets: Path, photo: np.ndarray) -> None:
    (assets / "bg" / "c.png").write_bytes((assets / "bg" / "a.png").read_bytes())
    Image.fromarray(photo).save(assets / "bg" / "d.jpg", quality=80)
    Image.fromarray(photo[:, ::-1]).save(assets / "bg" / "e.jpg", quality=80)
    report = check(assets / "bg", assets / "fg", size=(64, 48))
    assert reasons(report) == [("warning", "c.png", "copy"), ("warning", "d.jpg", "near-copy")]
    assert str(assets / "bg" / "a.png") in report.findings[0].detail
    assert report.backgrounds.identities == 2 and report.backgrounds.usable == 5
    assert report.backgrounds.mirrored == 4


def test_same_photo_with_another_mask_is_another_cutout(assets: Path, photo: np.ndarray) -> None:
    masks = assets / "masks"
    masks.mkdir()
    for name, left in {"one": 10, "two": 110}.items():
        Image.fromarray(photo).save(assets / "fg" / f"{name}.png")
        mask = np.zeros(photo.shape[:2], np.uint8)
        mask[30:120, left : left + 80] = 255
        Image.fromarray(mask).save(masks / f"{name}.png")
    report = check(assets / "bg", assets / "fg", masks=masks, size=(64, 48))
    assert report.findings == () and report.foregrounds.identities == 4


@pytest.mark.parametrize(
    ("size", "crop", "times"),
    [
        ((200, 150), (1.0, 1.0), None),
        ((201, 100), (1.0, 1.0), 201 / 200),
        ((100, 300), (0.9, 1.0), 2 / 0.9),
        ((100, 75), (0.5, 1.0), None),
        ((100, 75), (0.4, 0.5), 1.25),
    ],
)
def test_backgrounds_that_must_be_enlarged(
    assets: Path, size: tuple[int, int], crop: tuple[float, float], times: float | None
) -> None:
    report = check(assets / "bg", assets / "fg", size=size, crop=crop)
    if times is None:
        assert report.findings == ()
    else:
        assert reasons(report) == [("warning", "a.png", "enlarged"), ("warning", "b.png", "enlarged")]
        assert f"200x150 pixels: will be enlarged up to {times:.2f} times" in report.findings[0].detail


def test_reuse_past_the_limit(assets: Path) -> None:
    at_limit = check(assets / "bg", assets / "fg", size=(64, 48), per_pair=MAX_REUSE // 3)
    assert at_limit.backgrounds.reuse <= MAX_REUSE and at_limit.findings == ()
    past = check(assets / "bg", assets / "fg", size=(64, 48), per_pair=MAX_REUSE // 3 + 1)
    assert reasons(past) == [("warning", "bg", "reuse")]
    cutouts_at_limit = check(assets / "bg", assets / "fg", size=(64, 48), per_pair=MAX_REUSE // 2)
    assert cutouts_at_limit.foregrounds.reuse == MAX_REUSE
    assert reasons(cutouts_at_limit) == [("warning", "bg", "reuse")]
    far_past = check(assets / "bg", assets / "fg", size=(64, 48), per_pair=MAX_REUSE)
    assert reasons(far_past) == [("warning", "bg", "reuse"), ("warning", "fg", "reuse")]


def test_suspicious_cutouts(assets: Path) -> None:
    masks = assets / "masks"
    masks.mkdir()
    cut = np.zeros((40, 60, 4), np.uint8)
    cut[20:, 10:50] = [90, 80, 10, 255]
    Image.fromarray(cut).save(assets / "fg" / "cut.png")
    Image.fromarray(cut[::-1, :, 3].copy()).save(masks / "cut.png")
    report = check(assets / "bg", assets / "fg", masks=masks, size=(64, 48))
    assert reasons(report) == [("warning", "cut.png", "cut-off"), ("warning", "cut.png", "mask-differs")]
    assert report.foregrounds.usable == 4


def test_a_folder_of_damaged_assets(assets: Path, damaged_folder: Path, damaged: dict[str, str]) -> None:
    report = check(assets / "bg", damaged_folder, size=(64, 48), workers=3)
    assert (report.foregrounds.files, report.foregrounds.usable) == (len(damaged) + 1, 1)
    assert report.samples == 2 * 1 * 20
    severities = [f.severity for f in report.findings]
    assert severities == ["error"] * len(damaged) + ["info"]
    text = format_report(report)
    for finding in report.findings:
        assert Path(finding.path).name in text and finding.detail in text
    assert json.loads(json.dumps(asdict(report)))["foregrounds"]["usable"] == 1
    assert check(assets / "bg", damaged_folder, size=(64, 48), workers=1) == report


def test_nothing_usable(assets: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    report = check(tmp_path / "empty", assets / "fg")
    assert (report.samples, report.backgrounds.reuse, report.foregrounds.reuse) == (0, 0, 0)
    assert "0 usable" in format_report(report)
    assert [(found.severity, found.path) for found in report.findings] == [("error", str(tmp_path / "empty"))]
    with pytest.raises(QumadeError, match="missing"):
        check(tmp_path / "missing", assets / "fg")


def test_report_counts_first_and_groups_findings(assets: Path) -> None:
    (assets / "bg" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (assets / "bg" / "nothing.png").touch()
    lines = format_report(check(assets / "bg", assets / "fg", size=(400, 100))).splitlines()
    assert lines[:6] == [
        f"Backgrounds  4 files, 2 usable, 2 different  ({assets / 'bg'})",
        f"Cut-outs     3 files, 3 usable, 2 different, 2 with their mirror image  ({assets / 'fg'})",
        "Samples      120 = 2 backgrounds x 3 cut-outs x 20",
        "Splits       120 train",
        "Reuse        each background in 60 samples, each cut-out in 40",
        "Findings     2 errors, 2 warnings, 0 notes",
    ]
    assert lines[6] == "2 of 4 backgrounds used, 2 left out: 1 damaged, 1 empty"
    assert [line for line in lines[7:] if line and not line.startswith(" ")] == [
        "Cannot be used: background, damaged (1)",
        "Cannot be used: background, empty (1)",
        "Suspicious, but used: background, enlarged (2)",
    ]
    assert lines[-2:] == [f"  {n}.png  has 200x150 pixels: will be enlarged up to 2.00 times for 400x100" for n in "ab"]


@pytest.mark.slow
def test_real_assets(real_data: Path) -> None:
    folder = real_data / "qumade"
    report = check(folder / "bgImages", folder / "fgImages", masks=folder / "masks", flip=True)
    assert (report.samples, report.added_mirrors) == (400_000, 0)
    assert (report.backgrounds.usable, report.backgrounds.identities) == (100, 99)
    assert (report.foregrounds.usable, report.foregrounds.identities, report.foregrounds.mirrored) == (200, 100, 200)
    counts = {reason: [r for *_, r in reasons(report)].count(reason) for *_, reason in reasons(report)}
    small = [path for path in (folder / "bgImages").iterdir() if min(Image.open(path).size) < 224]
    odd = {"copy": 1, "cut-off": 10, "mask-differs": 2, "by-number": 1, "haze": 14, "specks": 2}
    assert counts == odd | {"enlarged": len(small)}


def test_check_finds_everything_generate_leaves_out_or_rejects(assets: Path) -> None:
    """`generate --strict` stops at the same assets that the check reports."""
    depths = assets / "depths"
    depths.mkdir()
    sparse = np.zeros((150, 200), np.uint16)
    sparse[::4, ::4] = 2560  # known on one pixel of sixteen
    Image.fromarray(sparse).save(depths / "a.png")
    Image.fromarray(np.full((150, 200), 2560, np.uint16)).save(depths / "b.png")
    for encoding, reason in (("jpeg", "unknown-depth"), ("lossless", "unknown-ground-depth")):
        fields = {"depths": depths, "encoding": encoding, "size": (64, 48)}
        report = check(assets / "bg", assets / "fg", **fields)
        assert [found for found in reasons(report) if found[0] == "error"] == [("error", "a.png", reason)]
        assert report.backgrounds.usable == 1
        recipe = Recipe(backgrounds=assets / "bg", foregrounds=assets / "fg", split=(1.0, 0.0, 0.0), **fields)
        assert [b.name for b in Synthesizer.from_recipe(recipe).catalog.backgrounds] == ["b.png"]
        with pytest.raises(QumadeError, match=r"a\.png"):
            Synthesizer.from_recipe(recipe, strict=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": {"rihgt.png": (0.1, 0.2)}}, "did you mean 'right.png'"),
        ({"horizon": {"z.png": 0.4}}, "Invalid horizon: got 'z.png'"),
        ({"scale": (3.0, 4.0)}, "Invalid scale"),
    ],
)
def test_settings_that_generate_rejects_are_rejected(assets: Path, fields: dict[str, Any], message: str) -> None:
    for attempt in (check, lambda *folders, **given: Synthesizer.from_recipe(_recipe(*folders, **given))):
        with pytest.raises(QumadeError, match=message):
            attempt(assets / "bg", assets / "fg", **fields)


def _recipe(backgrounds: Path, foregrounds: Path, **fields: Any) -> Recipe:
    return Recipe(backgrounds=backgrounds, foregrounds=foregrounds, **fields)

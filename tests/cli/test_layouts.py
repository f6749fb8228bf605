import numpy as np
import pytest
from PIL import Image

from qumade.assets.scene_layout import load_layout
from qumade.recipe import load_recipe


@pytest.fixture
def pictures(tmp_path):
    """A dataset of two pictures of 64x48 with one object each, which fills the lower left quarter."""
    for folder in ("images", "masks"):
        (tmp_path / "real" / folder).mkdir(parents=True)
    mask = np.zeros((48, 64), np.uint8)
    mask[24:, :32] = 255
    for number in range(2):
        Image.fromarray(mask).save(tmp_path / "real" / "masks" / f"{number}.png")
        Image.new("RGB", (64, 48)).save(tmp_path / "real" / "images" / f"{number}.png")
    return tmp_path / "real"


def test_a_layout_is_learned_and_composites_are_measured_against_it(run, pictures, assets, tmp_path):
    learned = run("layout", pictures, "--out", tmp_path / "layout.yaml", "--json")
    assert (learned.code, learned.last_line["objects"], learned.last_line["pictures"]) == (0, 2, 2)
    assert load_layout(tmp_path / "layout.yaml").table[-1].sum() == 2  # both stand at the lower edge
    folders = (f"--backgrounds={assets / 'backgrounds'}", f"--foregrounds={assets / 'foregrounds'}")
    fields = ("--size=64x48", "--workers=1", f"--layout={tmp_path / 'layout.yaml'}")
    made = run("generate", *folders, *fields, "--limit=12", "--out", tmp_path / "made")
    assert made.code == 0
    assert load_recipe(tmp_path / "made" / "dataset.yaml").layout == tmp_path / "layout.yaml"
    for flag in (f"--layout={tmp_path / 'layout.yaml'}", f"--like={pictures}"):
        found = run("stats", tmp_path / "made", "--workers=1", flag, "--json")
        assert found.code == 0 and 0 <= found.last_line["layout"]["size"]["total_variation"] <= 1
        assert (tmp_path / "made" / "layout.png").is_file()
    (tmp_path / "layout.yaml").write_text((tmp_path / "layout.yaml").read_text() + "# changed\n")
    extended = run("generate", *folders, *fields, "--limit=20", "--out", tmp_path / "made")
    assert extended.code == 1 and "Invalid --out" in extended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gone",), "Invalid path: got nothing at"),
        ((".", "--least-share=1"), "Invalid --least-share: got 1.0; must be at least 0 and below 1"),
        ((".", "--category=car"), "Invalid --category: got 'car' for the dataset"),
        ((".", "--split=test"), "Invalid --split: got 'test', of which"),
        (("masks/0.png", "--split=test"), "Invalid --split: got 'test' for"),
    ],
)
def test_wrong_arguments_are_refused(run, pictures, monkeypatch, arguments, message):
    monkeypatch.chdir(pictures)
    got = run("layout", *arguments)
    assert got.code == 1 and message in got.err and got.err.count("\n") == 1

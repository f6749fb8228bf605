"""Draws the contact sheets of the three placement policies in docs/images, from the bundled samples alone.

python tools/placement_sheets.py [FOLDER]
"""

import json
import sys
from pathlib import Path

from qumade.assets.bundled import bundled_folder
from qumade.plan.tables import POLICIES
from qumade.recipe import Recipe
from qumade.synth.synthesizer import Synthesizer
from qumade.viz.recipe_sheet import preview_recipe


def placement_recipe(policy: str) -> Recipe:
    """Cars on the road of the bundled scenes, of which all heights are known; only the policy differs."""
    samples = bundled_folder()
    cars = json.loads((samples / "foregrounds.json").read_text("utf-8"))
    cameras = json.loads((samples / "cameras.json").read_text("utf-8"))["backgrounds"]
    return Recipe.model_validate(
        {
            **{name: samples / name for name in ("backgrounds", "foregrounds", "depths", "labels", "reliefs")},
            "label_names": "cityscapes",
            "placement": policy,
            "size": (256, 192),
            "place": {"*": ["road"]},
            "height_m": {f"{name}.png": car["height_m"] for name, car in cars.items()},
            "camera_height_m": {f"{name}.jpg": camera["height_m"] for name, camera in cameras.items()},
        }
    )


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for policy in POLICIES:
        recipe = placement_recipe(policy)
        sheet = preview_recipe(Synthesizer.from_recipe(recipe), 12)
        path = folder / f"placement_{policy}.jpg"
        sheet.save(path, quality=88)
        print(path.absolute(), f"{path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "images")

"""Render the bundled samples: `python tools/render_samples.py [--only backgrounds:1,2] [--samples 32]`.

With `--training 300 --out DIR` it renders a dataset instead: roads with cars whose depth and masks are exact, of no
world of the bundled reference scenes. Scenes that are in DIR already are kept, so the same command goes on.

Needs an environment of its own: `pip install "bpy==5.0.1" OpenEXR scipy pillow pyyaml`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from sample_world import files, scenes
from sample_world.sheet import write_sheet

ROOT = Path(__file__).resolve().parents[1]
BUNDLED = ROOT / "src" / "qumade" / "assets" / "bundled"
PARTS = {
    "backgrounds": (scenes.background_scenes, files.write_background, 16),
    "foregrounds": (scenes.foreground_scenes, files.write_foreground, 32),
    "reference": (scenes.reference_scenes, files.write_reference, 24),
    "pairs": (scenes.pair_scenes, files.write_pair, 32),
}


def main() -> None:
    """Render the scenes that are asked for and bring the JSON files up to date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", action="append", help="a part, or scenes of it by number: backgrounds or backgrounds:1,5"
    )
    parser.add_argument("--samples", type=int, help="samples a pixel; the default is enough to keep")
    parser.add_argument("--training", type=int, help="the number of scenes of a dataset for training, in --out")
    parser.add_argument("--out", type=Path, default=BUNDLED)
    arguments = parser.parse_args()
    if arguments.training:
        if arguments.out == BUNDLED:
            parser.error("--training needs --out DIR")
        _render_training(arguments.training, arguments.out, arguments.samples or 16)
        return
    wanted = dict(entry.partition(":")[::2] for entry in arguments.only or PARTS)
    for part, numbers in wanted.items():
        make, write, samples = PARTS[part]
        every = make()
        for number in [int(n) for n in numbers.split(",")] if numbers else range(1, len(every) + 1):
            start = time.monotonic()
            scene = every[number - 1]
            facts = write(scene, arguments.out, arguments.samples or samples)
            _record(arguments.out, part, scene.name, facts)
            print(f"{part} {scene.name}: {time.monotonic() - start:.1f} s", flush=True)
    files.write_dataset_yaml(arguments.out / "reference")
    if arguments.out == BUNDLED:
        write_sheet(BUNDLED, ROOT / "docs" / "images" / "samples.png")


def _render_training(count: int, folder: Path, samples: int) -> None:
    for scene in scenes.training_scenes(count):
        if (folder / "instances" / f"{scene.name}.png").exists():  # the last file of a scene
            continue
        start = time.monotonic()
        files.write_scene(scene, folder, samples)
        print(f"{scene.name} of {count}: {time.monotonic() - start:.1f} s", flush=True)
    files.write_dataset_yaml(folder)


def _record(folder: Path, part: str, name: str, facts: dict[str, object]) -> None:
    """Keep the facts of one scene; other scenes' entries stay."""
    path = folder / ("foregrounds.json" if part == "foregrounds" else "cameras.json")
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    entries = content if part == "foregrounds" else content.setdefault(part, {})
    entries[name] = facts
    files.write_json(path, content)


if __name__ == "__main__":
    main()

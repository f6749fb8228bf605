"""Measure how long the studio takes to draw twelve samples again after a change of each field of a recipe.

    python benchmarks/bench_studio.py [--rounds 5] [--field ground]
    python benchmarks/bench_studio.py --first-page [--rounds 5]

The recipe is that of the bundled samples: 224x224, label maps, depth maps, perspective placement. A change is what the
page does: the value is parsed, the recipe validated, twelve samples are planned and drawn, and their pictures encoded
for the browser; the way to the browser is not in it. "new" is the first time that a value is chosen, "back" returns to
the value before. Medians over the rounds, by the clock and by processor time of all threads.

With --first-page: how long `qumade studio` takes to answer, and how long a Chromium then takes to show the first panel,
for a first start (no survey of the photos is known) and for later ones. Run it twice after a change of compiled
functions: the first run compiles them. Needs the packages of the tests.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qumade.assets.bundled import write_samples
from qumade.recipe import Recipe, load_recipe
from qumade.studio.composing import Composer, picture_of
from qumade.studio.controls import given_of, parse_recipe, value_of, with_value
from qumade.studio.pictures import PictureStore, thumbnail

SIDE = 448  # of a thumbnail in Compose
GOAL_MS = 300
CHANGES: dict[str, Callable[[int], Any]] = {
    "seed": lambda n: 100 + n,
    "size": lambda n: [200 + 8 * n, 224],
    "per_pair": lambda n: 30 + n,
    "flip": lambda n: n % 2 == 0,
    "mirror_backgrounds": lambda n: n % 2 == 0,
    "crop": lambda n: [0.5, 0.6 + 0.01 * n],
    "objects": lambda n: [1, 2 + n],
    "scale": lambda n: [0.1, 0.5 + 0.01 * n],
    "min_visible": lambda n: 0.3 + 0.01 * n,
    "rows": lambda n: 0.5 + 0.01 * n,
    "placement": lambda n: ("random", "semantic", "perspective")[n % 3],
    "ground": lambda n: [["road"], ["road", "sidewalk"], ["road", "terrain"], ["sidewalk"]][n % 4],
    "contact_rows": lambda n: [0.4 + 0.01 * n, 1.0],
    "contact_distance": lambda n: [3.0 + n, 60.0],
    "contact_sampling": lambda n: ("picture", "distance", "log_distance")[n % 3],
    "height_ratio": lambda n: 0.9 + 0.01 * n,
    "height_m": lambda n: {"default": 1.4 + 0.01 * n},
    "camera_height_m": lambda n: {"default": 1.4 + 0.01 * n},
    "size_jitter": lambda n: 0.05 + 0.01 * n,
    "horizon": lambda n: {"default": 0.4 + 0.01 * n},
    "effects.shadow": lambda n: 0.5 + 0.01 * n,
    "effects.haze": lambda n: [0.0, 0.2 + 0.01 * n],
    "target": lambda n: [["car"], ["car", "truck"], ["car", "bus"]][n % 3],
    "present": lambda n: ("ignore", "mask")[n % 2],
    "depth_near": lambda n: 0.3 + 0.01 * n,
    "mask": lambda n: ("soft", "binary")[n % 2],
    "split": lambda n: [0.7 - 0.01 * n, 0.2, 0.1 + 0.01 * n],
    "exclude": lambda n: [f"road_0{1 + n % 8}.jpg"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--field", action="append", choices=tuple(CHANGES))
    parser.add_argument("--first-page", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # no survey of an earlier run is known
        write_samples(Path(folder) / "samples")
        if options.first_page:
            first_page(Path(folder), options.rounds)
            return
        recipe = load_recipe(Path(folder) / "samples" / "recipe.yaml")
        measure(recipe, Path(folder) / "samples", options.field or list(CHANGES), options.rounds)


def measure(recipe: Recipe, folder: Path, fields: list[str], rounds: int) -> None:
    composer, store, given = Composer(), PictureStore(), given_of(recipe, folder)
    began = time.perf_counter()
    redraw(composer, store, given, folder)
    print(f"first samples: {1000 * (time.perf_counter() - began):.0f} ms")
    redraw(composer, store, given, folder)
    print(f"{'field':<20}{'new ms':>8}{'cpu':>8}{'back ms':>8}{'cpu':>8}   medians of {rounds}")
    for field in fields:
        took: dict[str, list[tuple[float, float]]] = {"new": [], "back": []}
        for number in range(rounds):
            value = CHANGES[field](number)
            if value == value_of(recipe, field):
                continue
            changed = with_value(given, recipe, field, value)
            for what, values in (("new", changed), ("back", given)):
                clock, cpu = time.perf_counter(), time.process_time()
                redraw(composer, store, values, folder)
                took[what].append((time.perf_counter() - clock, time.process_time() - cpu))
        ms = [1000 * statistics.median(times) for what in ("new", "back") for times in zip(*took[what], strict=True)]
        slow = "   above the goal" if ms[0] > GOAL_MS else ""
        print(f"{field:<20}{ms[0]:>8.0f}{ms[1]:>8.0f}{ms[2]:>8.0f}{ms[3]:>8.0f}{slow}")


def redraw(composer: Composer, store: PictureStore, given: dict[str, Any], folder: Path) -> None:
    recipe = parse_recipe(given, folder)
    drawn = composer.draw(recipe)
    encoding = composer.synthesizer(recipe).depth_encoding
    limits = None if encoding is None else encoding.limits
    for one in drawn:
        store.add(thumbnail(picture_of(one, "image", limits), SIDE))


def first_page(folder: Path, rounds: int) -> None:
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("QUMADE_TEST_BROWSER") or next(filter(None, map(shutil.which, names)), None)
    took: list[tuple[float, float, float]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        for _ in range(1 + rounds):
            took.append(start_and_open(browser, folder))
    print(f"{'start':<10}{'answers s':>11}{'panel s':>9}{'pictures s':>12}   medians of {rounds} later starts")
    for what, times in (("first", took[:1]), ("later", took[1:])):
        answers, panel, pictures = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{what:<10}{answers:>11.2f}{panel:>9.2f}{pictures:>12.2f}")


def start_and_open(browser: Any, folder: Path) -> tuple[float, float, float]:
    """Return the seconds from the command to an answer, and from there to the panel and to its twelve pictures."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "qumade", "studio", "samples/recipe.yaml", "--no-browser", "--port", str(port)],
        cwd=folder, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not answers(f"http://localhost:{port}/"):
            if process.poll() is not None:
                raise SystemExit("the studio did not start")
            time.sleep(0.01)
        ready = time.perf_counter()
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        page = context.new_page()
        page.goto(f"http://localhost:{port}/")
        page.wait_for_selector(".qs-form .qs-field")
        panel = time.perf_counter()
        page.wait_for_selector(".qs-cell >> nth=11 >> img[src]", timeout=600_000)
        pictures = time.perf_counter()
        context.close()
    finally:
        process.terminate()
        process.wait()
    return ready - began, panel - ready, pictures - ready


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    main()

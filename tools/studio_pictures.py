"""Makes the pictures of the studio's panels for README and docs, from the bundled samples.

`python tools/studio_pictures.py --run RUN` writes docs/images/studio_PANEL.jpg; RUN is a network that was trained on
the bundled samples, such as out/demo/run of `make demo`. With --narrow and --dark it shows the same panels as a phone
and in dark mode, and --out is where they go. --world keeps the samples and the dataset for the next call.
"""

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from qumade.assets.bundled import write_samples
from qumade.generation.engine import generate
from qumade.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = 480
MOST_BYTES = 150_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_MS = 180_000
# Where the samples lie on this machine is nobody's business.
SHORT_PATHS = """(world) => {
  for (const one of document.querySelectorAll('.qs-path, .qs-hint, .qs-text, .qs-log'))
    one.textContent = one.textContent.replaceAll(world, '~/cars');
  for (const one of document.querySelectorAll('input')) one.value = one.value.replaceAll(world, '~/cars');
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="a network trained on the bundled samples")
    parser.add_argument("--world", type=Path, help="folder for samples and dataset, made unless it exists")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--panel", action="append", choices=tuple(PANELS), help="only this panel; may be repeated")
    parser.add_argument("--narrow", action="store_true")
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        world = make_world((options.world or Path(folder)).absolute(), options.run.absolute())
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        scheme = "dark" if options.dark else "light"
        size = {"width": 420, "height": 860} if options.narrow else {"width": 1400, "height": 880}
        with serving(world) as address:
            for panel in options.panel or PANELS:
                page = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce").new_page()
                page.set_default_timeout(_PATIENCE_MS)
                page.goto(f"{address}?panel={panel}")
                PANELS[panel](page)
                page.wait_for_load_state("networkidle")
                page.evaluate(SHORT_PATHS, str(world))
                path = options.out / f"studio_{panel}.png"
                page.screenshot(path=path)
                save_small(Image.open(path).convert("RGB"), path.with_suffix(".jpg"))
                path.unlink()
                print(path.with_suffix(".jpg"))
        browser.close()


def save_small(picture: Image.Image, path: Path) -> None:
    """Write a JPEG of the best quality that fits into MOST_BYTES."""
    for quality in range(90, 40, -5):
        picture.save(path, quality=quality, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            return


def make_world(folder: Path, run: Path) -> Path:
    """Write samples, a dataset of them and a copy of the run into a folder."""
    if not (folder / "dataset").exists():
        write_samples(folder / "samples")
        generate(load_recipe(folder / "samples" / "recipe.yaml"), folder / "dataset", limit=SAMPLES)
    shutil.copytree(run, folder / "run", dirs_exist_ok=True)
    shutil.rmtree(folder / "studio", ignore_errors=True)
    return folder


@contextmanager
def serving(world: Path) -> Iterator[str]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "qumade", "studio", "samples/recipe.yaml", "--open", ".", "--no-browser"]
    with subprocess.Popen([*command, "--port", str(port)], cwd=world) as process:
        try:
            until = time.monotonic() + _PATIENCE_MS / 1000
            while time.monotonic() < until:
                with socket.socket() as one:
                    if one.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.2)
            yield f"http://localhost:{port}/"
        finally:
            process.terminate()


def find_browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise SystemExit(f"Invalid browser: got none of {', '.join(BROWSERS)}; must be installed")
    return found


def show_assets(page: Any) -> None:
    page.wait_for_selector(".qs-cell img[src]")
    page.get_by_role("button", name="Cut-outs").click()
    page.locator(".qs-cell[aria-label='hatchback_04.png']").click()
    page.wait_for_selector("text=It stands at the pointer")
    page.get_by_role("button", name="Photos").click()
    page.locator(".qs-cell[aria-label='road_03.jpg']").click()
    page.wait_for_selector("text=Where objects may stand")
    page.locator(".qs-large").first.scroll_into_view_if_needed()
    box = page.locator(".qs-large").first.bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.72 * box["height"])
    page.wait_for_selector("text=pixels of the photo high here")
    time.sleep(2)  # the picture at the pointer has no event of its own


def show_compose(page: Any) -> None:
    page.wait_for_selector(".qs-cell img[src]")
    box = page.locator('input[data-field="objects"]').first
    before = page.locator(".qs-cell img").first.get_attribute("src")
    box.fill("1, 3")
    page.wait_for_function("(old) => document.querySelector('.qs-cell img').getAttribute('src') != old", arg=before)
    page.locator(".qs-cell").nth(2).click()
    page.wait_for_selector(".qs-object")
    if page.viewport_size["width"] < 900:
        page.locator(".qs-grid").scroll_into_view_if_needed()


def show_run(page: Any) -> None:
    page.wait_for_selector('input[data-part="generate.samples"]')
    page.locator('input[data-part="generate.samples"]').fill("60")
    page.get_by_role("button", name="Add to the queue").first.click()
    page.wait_for_selector("[data-job='1'] >> text=done")
    page.get_by_text("Train a network").click()
    page.locator('input[data-part="train.minutes"]').fill("1")
    page.get_by_role("button", name="Add to the queue").nth(1).click()
    page.wait_for_selector("[data-job='2'] >> text=done")
    page.wait_for_selector("canvas")


def show_look(page: Any) -> None:
    page.wait_for_selector(".qs-cell img[src]")
    page.get_by_text("Scores and networks").click()
    page.get_by_role("button", name="Choose network A").click()
    page.get_by_role("button", name="OK").click()
    page.wait_for_selector("text=A: run")
    page.locator(".qs-cell").nth(6).click()
    page.wait_for_selector(".qs-wipe")


def show_try(page: Any) -> None:
    page.wait_for_selector("text=Network: run")
    photos = Path(__file__).resolve().parents[1] / "src" / "qumade" / "assets" / "bundled" / "reference" / "images"
    page.set_input_files("input[type=file]", str(sorted(photos.iterdir())[5]))
    page.wait_for_selector("text=The depth in space")
    time.sleep(2)  # the view in space has no event of its own


PANELS = {"assets": show_assets, "compose": show_compose, "run": show_run, "look": show_look, "try": show_try}


if __name__ == "__main__":
    main()

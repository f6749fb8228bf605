"""Bundled samples for the studio, small; its server in a process of its own, and a browser that drives it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fixtures.studio_server import serving
from qumade.assets.bundled import write_samples
from qumade.recipe import load_recipe


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few of the bundled samples in samples/, and recipe.yaml there."""
    folder = tmp_path_factory.mktemp("world")
    samples = folder / "samples"
    write_samples(samples)
    for kind, kept in (("backgrounds", 6), ("foregrounds", 4)):
        for path in sorted((samples / kind).iterdir())[kept:]:
            path.unlink()
    lines = (samples / "recipe.yaml").read_text().splitlines()
    recipe = [line for line in lines if not line.startswith(("height_m", "camera_height_m", "  "))]
    (samples / "recipe.yaml").write_text(
        "\n".join([*recipe, "height_m: {default: 1.5}", "camera_height_m: {default: 1.5}", ""])
    )
    return folder


@pytest.fixture(scope="session")
def world_dataset(world: Path) -> Path:
    """A dataset of 40 samples of the recipe, with up to two objects, in dataset/."""
    from qumade.generation.engine import generate
    from qumade.synth.synthesizer import Synthesizer

    recipe = load_recipe(world / "samples" / "recipe.yaml").model_copy(update={"objects": (1, 2)})
    generate(Synthesizer.from_recipe(recipe), world / "dataset", limit=40, workers=1)
    return world / "dataset"


@pytest.fixture(scope="session")
def world_shards(world: Path, world_dataset: Path) -> Path:
    """The same samples in shards: those of train, then val and test, in shards/."""
    from qumade.convert.shards import folder_to_shards

    folder_to_shards(world_dataset, world / "shards", samples_per_shard=8, progress=False)
    return world / "shards"


@pytest.fixture(scope="session")
def world_run(world: Path) -> Path:
    """A network that was not trained, as a run in run/."""
    from qumade.models.config import NetworkConfig
    from qumade.models.network import build_network
    from qumade.training.run_folder import RunFolder, write_weights

    config = NetworkConfig(depth_kind="metric", size=(64, 64))
    folder = RunFolder(world / "run")
    write_weights(folder, "best", build_network(config), config, {"step": 1, "epoch": 1, "metrics": {}})
    folder.config.write_text("data: ../dataset\n")
    return folder.root


@pytest.fixture(scope="session")
def world_classes(world: Path) -> Path:
    """A recipe whose cut-outs are in sub-folders for their classes, car and van, in classes/recipe.yaml."""
    folder = world / "classes"
    source = folder.parent / "bundled"
    write_samples(source)
    for name, cutouts in (("car", slice(0, 3)), ("van", slice(3, 6))):
        (folder / "cutouts" / name).mkdir(parents=True)
        for path in sorted((source / "foregrounds").iterdir())[cutouts]:
            shutil.copy(path, folder / "cutouts" / name / path.name)
    shutil.rmtree(source)
    (folder / "recipe.yaml").write_text("backgrounds: ../samples/backgrounds\nforegrounds: cutouts\n")
    return folder / "recipe.yaml"


@pytest.fixture(scope="session")
def classes_address(world: Path, world_classes: Path, world_run: Path) -> Iterator[str]:
    """The address of a studio of that recipe."""
    with serving(world_classes, "--open", world, "--out", world / "studio-classes", folder=world) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium of the system. Tests skip where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    pytest.importorskip("nicegui", reason="the extra `studio` is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("QUMADE_TEST_BROWSER") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium was found on this machine (set QUMADE_TEST_BROWSER to one)")
    with sync_api.sync_playwright() as playwright:
        # A container may forbid the sandbox of the browser; it loads nothing but the page under test.
        running = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def studio_address(world: Path, world_dataset: Path, world_run: Path) -> Iterator[str]:
    """The address of a studio of the samples' recipe, with a dataset and a network beside it."""
    with serving(world / "samples" / "recipe.yaml", "--open", world, folder=world) as address:
        yield address


def _is_fault(said: Any) -> bool:
    """Return whether a message of the browser's console is an error, or that NiceGUI drew something a second time."""
    return said.type == "error" or "Re-rendering" in said.text


_PAGES = pytest.StashKey[list[Any]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show with a test that fails what its pages showed then."""
    report = yield
    for page in item.stash.get(_PAGES, []) if call.when == "call" and report.failed else []:
        with suppress(Exception):  # closed, or lost
            typed = page.evaluate("[...document.querySelectorAll('input')].map(input => input.value)")
            report.sections.append((page.url, f"{page.inner_text('body')[:4000]}\n\nTyped: {typed}"))
    return report


@pytest.fixture
def open_page(request: Any, browser: Any, studio_address: str) -> Iterator[Callable[..., Any]]:
    """Open a panel in a tab of its own; an error in the page's own scripts fails the test.

    Nothing moves there: a button that is still on its way when the mouse is pressed is elsewhere when it is released,
    and was not clicked.
    """
    contexts: list[Any] = []
    errors: list[str] = []
    pages = request.node.stash.setdefault(_PAGES, [])

    def opened(panel: str, at: str = studio_address, **how: Any) -> Any:
        context = browser.new_context(viewport={"width": 1400, "height": 900}, reduced_motion="reduce", **how)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        pages.append(page)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.extend([said.text] if _is_fault(said) else []))
        page.goto(f"{at}?panel={panel}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors

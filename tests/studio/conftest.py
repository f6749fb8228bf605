"""Bundled samples for the studio, small; its server in a process of its own, and a browser that drives it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qumade.assets.bundled import write_samples


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


@contextmanager
def serving(*arguments: object, folder: Path) -> Iterator[str]:
    """Run `qumade studio` in a process of its own and yield the address that it prints."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "qumade", "studio", *map(str, arguments), "--no-browser", "--port", str(port)]
    with (folder / f"server-{port}.log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, text=True)
        try:
            until = time.monotonic() + 120
            while "Studio at " not in (said := Path(log.name).read_text()):
                assert process.poll() is None and time.monotonic() < until, said
                time.sleep(0.1)
            yield said.split("Studio at ")[1].split()[0]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


@pytest.fixture(scope="module")
def studio_address(world: Path) -> Iterator[str]:
    """The address of a studio of the samples' recipe."""
    with serving(world / "samples" / "recipe.yaml", "--open", world, folder=world) as address:
        yield address


@pytest.fixture
def open_page(browser: Any, studio_address: str) -> Iterator[Callable[..., Any]]:
    """Open a panel in a tab of its own; an error in the page's own scripts fails the test."""
    contexts: list[Any] = []
    errors: list[str] = []

    def opened(panel: str, **how: Any) -> Any:
        context = browser.new_context(viewport={"width": 1400, "height": 900}, **how)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{studio_address}?panel={panel}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors

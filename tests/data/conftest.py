from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

MakeDataset = Callable[..., Path]


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"quality": 95} if path.suffix == ".jpg" else {}
    Image.fromarray(pixels).save(path, **settings)


@pytest.fixture
def save_picture() -> Callable[[Path, np.ndarray], None]:
    """Save an array as JPEG or PNG, by the path's suffix."""
    return _save


@pytest.fixture
def make_dataset(tmp_path_factory: pytest.TempPathFactory) -> MakeDataset:
    """Make a small dataset of noise: PNG unless told, depth in `depth_bits`, dataset.yaml where `meta` is given."""

    def make(
        samples: int = 5,
        *,
        size: tuple[int, int] = (12, 9),
        suffix: str = ".png",
        folders: tuple[str, ...] = ("images", "masks", "depth"),
        depth_bits: int = 8,
        meta: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> Path:
        root = tmp_path_factory.mktemp("dataset")
        rng = np.random.default_rng(seed)
        width, height = size
        for index in range(samples):
            stem = f"img{index + 1:06d}{suffix}"
            pixels = {
                "images": rng.integers(0, 256, (height, width, 3), np.uint8),
                "masks": rng.integers(0, 256, (height, width), np.uint8),
                "depth": rng.integers(0, 1 << depth_bits, (height, width), f"uint{depth_bits}"),
                "ignore": rng.integers(0, 2, (height, width), np.uint8).astype(bool),
            }
            for folder in folders:
                _save(root / folder / stem, pixels[folder])
        if meta is not None:
            content = {"format": "qumade-dataset/1", "complete": True, "samples": samples, "size": list(size), **meta}
            (root / "dataset.yaml").write_text(yaml.safe_dump(content))
        return root

    return make

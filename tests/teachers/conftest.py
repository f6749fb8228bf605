"""Pictures for the teachers."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def ramp(width: int, height: int) -> np.ndarray:
    """Grey that grows to the right from 60 to 200, with a dark band across at the lower quarter."""
    picture = np.repeat(np.linspace(60, 200, width)[None], height, 0)
    picture[3 * height // 4 :] *= 0.5
    return np.repeat(picture[..., None], 3, 2).round().astype(np.uint8)


@pytest.fixture
def pictures() -> list[np.ndarray]:
    """Pictures of three sizes; two are alike in size."""
    return [ramp(90, 60), ramp(64, 96), ramp(90, 60)[:, ::-1].copy()]


@pytest.fixture
def picture_files(tmp_path: Path, pictures: list[np.ndarray]) -> list[Path]:
    """The same as files."""
    files = [tmp_path / f"photo_{i}.png" for i in range(len(pictures))]
    for file, picture in zip(files, pictures, strict=True):
        Image.fromarray(picture).save(file)
    return files

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from qumade.convert.exporters.conversion import ConversionSummary, convert


@pytest.fixture
def exported(two_class_dataset: Path, tmp_path: Path) -> Callable[..., tuple[Path, ConversionSummary]]:
    """Convert the dataset of two classes."""

    def run(to: Any, **options: Any) -> tuple[Path, ConversionSummary]:
        out = tmp_path / to
        return out, convert(two_class_dataset, to, out, workers=1, progress=False, **options)

    return run


@pytest.fixture
def metric_dataset(make_dataset: Callable[..., Path]) -> Path:
    """Four samples of 16-bit metric depth; train, train, val, val in the order of their stems."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from qumade.data.manifest import IMPORT_SCHEMA

    encoding = {"kind": "metric", "code": "metres", "bits": 16, "depth_scale": 256.0}
    root = make_dataset(4, depth_bits=16, meta={"depth": encoding})
    stems = sorted(path.stem for path in (root / "images").iterdir())
    levels = np.asarray(Image.open(root / "depth" / f"{stems[0]}.png")).copy()
    levels[0, :2] = 0, 65535  # unknown, and farther than the range
    Image.fromarray(levels).save(root / "depth" / f"{stems[0]}.png")
    splits = pa.array(["train", "train", "val", "val"]).dictionary_encode()
    columns = {"index": range(4), "stem": stems, "split": splits, "source": stems, "uncertain": [False] * 4}
    pq.write_table(pa.table(columns, schema=IMPORT_SCHEMA), root / "manifest.parquet")
    assert yaml.safe_load((root / "dataset.yaml").read_text())["complete"]
    return root

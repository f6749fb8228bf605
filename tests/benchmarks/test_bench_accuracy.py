import importlib.util
from argparse import Namespace
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "bench_accuracy.py"
spec = importlib.util.spec_from_file_location(PATH.stem, PATH)
assert spec is not None and spec.loader is not None
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        ([], ["--size", "96", "--minutes", "10.0", "--pretrained", "none"]),
        (["--steps", "5"], ["--size", "96", "--pretrained", "none", "--steps", "5"]),
        (["--pretrained=required"], ["--size", "96", "--minutes", "10.0", "--pretrained=required"]),
        (["--pretrained", "auto"], ["--size", "96", "--minutes", "10.0", "--pretrained", "auto"]),
    ],
)
def test_training_starts_from_random_weights_unless_told_otherwise(given, flags):
    assert bench.train_flags(Namespace(train=given, size=96, minutes=10.0)) == flags

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Just-in-time compilation makes a first example slow; runs must be repeatable.
settings.register_profile("qumade", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("qumade")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real pictures that some tests read; they skip where it is missing."""
    folder = Path(os.environ.get("QUMADE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"real pictures not found in {folder} (set QUMADE_TEST_DATA)")
    return folder

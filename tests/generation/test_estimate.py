import pytest

from qumade.generation.estimate import Estimate, estimate
from qumade.generation.shard_engine import generate_shards


def test_bytes_are_about_those_that_are_written(works, synthesizer) -> None:
    found = estimate(synthesizer, 300, workers=1)
    written = sum(len(content) for name, content in works.reference(300).items() if name.count("/") and content)
    assert found.samples == 300 and found.bytes == pytest.approx(written, rel=0.2)
    assert 0 < found.seconds < 300
    twice = estimate(synthesizer, 600, workers=1)
    assert twice.bytes == 2 * found.bytes


def test_bytes_of_shards_are_about_those_of_their_tars(works, synthesizer) -> None:
    out = works.out()
    generate_shards(synthesizer, out, limit=100, workers=1, progress=False)
    written = sum(path.stat().st_size for path in out.glob("shards/*.tar"))
    assert estimate(synthesizer, 100, 1, drawn=50, in_shards=True).bytes == pytest.approx(written, rel=0.1)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Estimate(400_000, 9_140_000_000, 2100.0), "400,000 samples, about 9.1 GB in 35 minutes"),
        (Estimate(500, 12_400_000, 4.0), "500 samples, about 12 MB in less than a minute"),
        (Estimate(500, 12_400_000, 62.0), "500 samples, about 12 MB in 1 minute"),
        (Estimate(1, 9_000, 0.1), "1 sample, about 1 MB in less than a minute"),
    ],
)
def test_text(found: Estimate, text: str) -> None:
    assert str(found) == text

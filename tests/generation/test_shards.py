import pytest

from qumade.data.shard_store import recipe_hash
from qumade.generation.shard_engine import shard_metadata
from qumade.generation.shards import DrawShards, draw_rows, quadrants_of
from qumade.generation.worker import Stopped
from qumade.io.storage import LocalFiles
from qumade.plan.shards import ShardPlan
from qumade.synth.synthesizer import Synthesizer


def metadata_of(synthesizer, root, samples=40):
    return shard_metadata(synthesizer, LocalFiles(root), ShardPlan(quadrants_of(synthesizer, 300), samples, 0))


def test_the_hash_of_a_recipe_depends_on_what_decides_the_bytes_only(works, tmp_path):
    synthesizer = Synthesizer(works.recipe, works.catalog)
    ours = recipe_hash(metadata_of(synthesizer, tmp_path / "a"))
    assert ours == recipe_hash(metadata_of(synthesizer, tmp_path / "b" / "c"))
    assert ours == recipe_hash({**metadata_of(synthesizer, tmp_path / "a"), "complete": False})
    assert ours != recipe_hash(metadata_of(synthesizer, tmp_path / "a", samples=41))
    other = Synthesizer(works.recipe.model_copy(update={"seed": 1}), works.catalog)
    assert ours != recipe_hash(metadata_of(other, tmp_path / "a"))


def test_work_stops_between_two_samples(synthesizer, tmp_path):
    asked = []

    def stopped():
        asked.append(1)
        return len(asked) == 5

    plan = ShardPlan(quadrants_of(synthesizer, 300), 40, 0)
    with pytest.raises(Stopped):
        DrawShards(synthesizer, plan, LocalFiles(tmp_path), "0" * 64)(next(iter(plan)), stopped)
    assert len(asked) == 5 and not list((tmp_path / "shards").iterdir())


def test_rows_and_files_of_drawn_samples(synthesizer):
    rows, parts, counts = draw_rows(synthesizer, synthesizer.indices(5), lambda: False)
    assert rows["stem"].to_pylist() == [synthesizer.stem(index) for index in synthesizer.indices(5)]
    assert [[name for name, _ in files] for files in parts] == [["image.jpg", "mask.jpg", "depth.jpg"]] * 5
    assert counts["depth_clipped_px"] == sum(rows["depth_clipped_px"].to_pylist())

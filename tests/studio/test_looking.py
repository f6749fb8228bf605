import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qumade.data.folder import FolderDataset
from qumade.data.opening import open_dataset
from qumade.errors import DatasetError
from qumade.studio.look_detail import describe
from qumade.studio.looking import (
    GRID,
    Filter,
    Table,
    bounds,
    choices_of,
    heat_map,
    load_table,
    ordered,
    selected,
    with_scores,
)


@pytest.fixture(scope="module")
def table() -> Table:
    """Four samples: none, one, two and one objects."""
    return Table(
        stems=np.array(["a1", "a2", "b1", "b2"]),
        sample=np.array([1, 2, 2, 3]),
        names={
            "split": np.array([0, 1, 1, 0], np.int32),
            "background": np.array([0, 0, 1, -1], np.int32),
            "foreground": np.array([0, 1, 0, 1], np.int32),
            "policy": np.array([0, 0, 1, 1], np.int32),
        },
        words={
            "split": ("test", "train"), "background": ("x.jpg", "y.jpg"), "foreground": ("car", "van"),
            "policy": ("p", "r"),
        },
        numbers={
            "scale": np.array([0.1, 0.2, 0.3, 0.4], np.float32),
            "distance": np.array([10, 20, 5, np.inf], np.float32),
            "visible_fraction": np.array([1, 0.5, 0.9, 1], np.float32),
            "contact_u": np.array([50, 10, 120, -3], np.float32),
            "contact_v": np.array([99, 60, 60, 60], np.float32),
        },
        size=(100, 100),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "positions"),
    [
        (Filter(), [0, 1, 2, 3]),
        (Filter(choices={"split": ["train"]}), [1, 2]),
        (Filter(choices={"split": []}), [0, 1, 2, 3]),
        (Filter(choices={"background": ["x.jpg"]}), [0, 1]),
        (Filter(choices={"foreground": ["van"]}), [2, 3]),
        (Filter(choices={"foreground": ["van"], "policy": ["p"]}), [2]),
        (Filter(choices={"foreground": ["car"]}, ranges={"scale": (0.25, 1)}), [2]),
        (Filter(choices={"foreground": ["van"]}, ranges={"scale": (0.25, 0.35)}), []),  # one object must be both
        (Filter(ranges={"distance": (0, 100)}), [1, 2]),
        (Filter(ranges={"unheard": (0, 1)}, choices={"unheard": ["x"]}), [0, 1, 2, 3]),
        (Filter(text="b"), [2, 3]),
        (Filter(cell=(14, 2)), [2]),
        (Filter(cell=(14, 0)), [3]),
    ],
)
def test_filters(table, wanted, positions):
    assert selected(table, wanted).tolist() == positions


@pytest.mark.parametrize(
    ("by", "descending", "positions"),
    [
        ("position", False, [0, 1, 2, 3]),
        ("position", True, [3, 2, 1, 0]),
        ("objects", True, [2, 1, 3, 0]),
        ("scale", True, [3, 2, 1, 0]),
        ("scale", False, [1, 2, 3, 0]),  # the sample without an object comes last either way
        ("distance", False, [2, 1, 3, 0]),
        ("visible_fraction", False, [2, 1, 3, 0]),
    ],
)
def test_orders(table, by, descending, positions):
    assert ordered(table, np.arange(4), by, descending=descending).tolist() == positions


def test_the_map_counts_contacts_and_clicking_it_finds_them(table):
    counts = heat_map(table, np.arange(4))
    assert counts.shape == (GRID, GRID) and counts.sum() == 4
    for row, column in np.argwhere(counts):
        assert len(selected(table, Filter(cell=(int(row), int(column))))) == counts[row, column]
    assert heat_map(table, np.array([1])).sum() == 1
    assert heat_map(Table(table.stems, table.sample, {}, {}, {}, None), np.arange(4)) is None


def test_choices_and_bounds(table):
    assert choices_of(table)["foreground"] == ["car", "van"] and "class" not in choices_of(table)
    assert bounds(table, "distance") == (5, 20)
    assert bounds(table, "unheard") is None


def test_scores_are_matched_by_stem_and_compared(table, tmp_path):
    pq.write_table(pa.table({"stem": ["b1", "a2", "zz"], "mask_iou": [0.9, 0.1, 0.5]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"stem": ["b1", "a2"], "mask_iou": [0.2, 0.6]}), tmp_path / "b.parquet")
    both = with_scores(with_scores(table, tmp_path / "a.parquet"), tmp_path / "b.parquet", "B ")
    np.testing.assert_array_equal(both.scores["mask_iou"], [np.nan, 0.1, 0.9, np.nan])
    assert ordered(both, np.arange(4), "mask_iou").tolist() == [1, 2, 0, 3]
    both = both.scored("difference", both.scores["mask_iou"] - both.scores["B mask_iou"])
    assert ordered(both, np.arange(4), "difference", descending=True).tolist() == [2, 1, 0, 3]


def test_scores_of_something_else_are_refused(table, tmp_path):
    pq.write_table(pa.table({"stem": ["zz"], "mask_iou": [0.9]}), tmp_path / "other.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "columns.parquet")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    for name, message in (("other", "none of this dataset"), ("columns", "no column 'stem'"), ("torn", "cannot read")):
        with pytest.raises(DatasetError, match=message):
            with_scores(table, tmp_path / f"{name}.parquet")


@pytest.fixture(scope="module", params=["folder", "shards"])
def both(request, world_dataset, world_shards):
    """The same samples in a folder and in shards, in whose order stems are not sorted, and the rows of the manifest."""
    rows = pq.read_table(world_dataset / "manifest.parquet").to_pylist()
    if request.param == "folder":
        return FolderDataset(world_dataset), rows
    dataset = open_dataset(world_shards)
    assert dataset.stems.tolist() != sorted(dataset.stems) and sorted(dataset.stems) == [row["stem"] for row in rows]
    return dataset, rows


def test_a_generated_dataset_is_read_as_its_manifest_says(both):
    dataset, rows = both
    table, row_of = load_table(dataset), {row["stem"]: row for row in rows}
    assert len(table) == len(rows) == len(dataset)
    assert table.size == dataset.metadata.size
    assert table.stems.tolist() == dataset.stems.tolist()
    assert table.metric and table.unit("distance") == " m", "the samples have depth maps in metres"
    for position in range(len(rows)):
        row = row_of[table.stems[position]]
        assert table.words["background"][table.names["background"][position]] == row["background"]
        assert table.words["split"][table.names["split"][position]] == (row["split"] or "")
        of_sample = np.flatnonzero(table.sample == position)
        assert len(of_sample) == len(row["objects"])
        for at, thing in zip(of_sample, row["objects"], strict=True):
            assert table.words["foreground"][table.names["foreground"][at]] == thing["foreground"]
            assert table.words["policy"][table.names["policy"][at]] == thing["policy"]
            assert table.numbers["scale"][at] == np.float32(thing["scale"])
            assert table.numbers["distance"][at] == pytest.approx(1 / thing["inverse_depth"])


def test_filters_orders_map_and_scores_are_those_of_the_rows(both, tmp_path):
    dataset, rows = both
    table, everything = load_table(dataset), np.arange(len(rows))

    def stems(positions):
        return table.stems[positions].tolist()

    train = stems(selected(table, Filter(choices={"split": ["train"]})))
    assert sorted(train) == sorted(row["stem"] for row in rows if row["split"] == "train")
    photo = rows[0]["background"]
    at_photo = stems(selected(table, Filter(choices={"background": [photo]})))
    assert sorted(at_photo) == sorted(row["stem"] for row in rows if row["background"] == photo)
    _, high = bounds(table, "scale")
    scales = {row["stem"]: max(thing["scale"] for thing in row["objects"]) for row in rows}
    assert high == np.float32(max(scales.values()))
    large = stems(selected(table, Filter(ranges={"scale": (high - 1e-6, np.inf)})))
    assert large == [max(scales, key=scales.get)]
    by_size = stems(ordered(table, everything, "scale", descending=True))
    assert [scales[stem] for stem in by_size] == sorted(scales.values(), reverse=True)
    contact = next(thing for row in rows for thing in row["objects"])
    cell = (
        int(contact["contact_v"] / table.size[1] * GRID),
        int(contact["contact_u"] / table.size[0] * GRID),
    )
    assert rows[0]["stem"] in stems(selected(table, Filter(cell=cell)))
    assert heat_map(table, everything).sum() == sum(len(row["objects"]) for row in rows)
    scores = {row["stem"]: n / len(rows) for n, row in enumerate(rows)}
    pq.write_table(
        pa.table({"stem": [*scores, "unheard"], "mask_iou": [*scores.values(), 9.0]}), tmp_path / "scores.parquet"
    )
    scored = with_scores(table, tmp_path / "scores.parquet")
    assert [scores[stem] for stem in table.stems] == scored.scores["mask_iou"].tolist()
    position = int(np.flatnonzero(table.stems == rows[3]["stem"])[0])
    assert rows[3]["background"] in describe(scored, position)[0] and "mask IoU: 0.075" in describe(scored, position)[0]
    assert len(describe(scored, position)) == 1 + len(rows[3]["objects"])


def test_rows_of_other_samples_are_not_taken_for_those_of_the_dataset(world_dataset):
    whole = FolderDataset(world_dataset)
    kept = np.array([1, 5, 30])
    part, table = load_table(whole.take(kept)), load_table(whole)
    assert len(part) == 3 and len(part.sample) == np.isin(table.sample, kept).sum()
    assert part.numbers["scale"].tolist() == table.numbers["scale"][np.isin(table.sample, kept)].tolist()


def test_a_dataset_without_a_manifest_has_stems_and_splits(make_dataset):
    table = load_table(FolderDataset(make_dataset(samples=3)))
    assert len(table) == 3 and not len(table.sample) and choices_of(table) == {}
    assert selected(table, Filter(text="2")).tolist() == [1]
    assert ordered(table, np.arange(3), "scale").tolist() == [0, 1, 2]


@pytest.mark.slow
def test_400_000_samples_take_some_tens_of_megabytes(tmp_path):
    count = 400_000
    stems = [f"img{n:06d}" for n in range(1, count + 1)]
    thing = {"foreground": "car.png", "policy": "random", "scale": 0.2, "visible_fraction": 1.0, "inverse_depth": 0.1,
             "contact_u": 5.0, "contact_v": 6.0}  # fmt: skip
    rows = pa.table({"stem": stems, "background": ["a.jpg"] * count, "objects": [[thing]] * count})
    pq.write_table(rows, tmp_path / "manifest.parquet", row_group_size=50_000)
    del rows

    class Dataset:
        manifest_path = tmp_path / "manifest.parquet"
        metadata = None

        def __init__(self) -> None:
            self.stems, self.splits = np.array(stems), np.full(count, "train")

    dataset = Dataset()
    tracemalloc.start()
    table = load_table(dataset)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table) == count and kept < 60e6
    assert len(selected(table, Filter(ranges={"scale": (0.1, 0.3)}))) == count

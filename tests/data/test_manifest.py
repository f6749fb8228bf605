import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qumade.data.manifest import MANIFEST_SCHEMA, manifest_table, plans_from_manifest, read_manifest
from qumade.errors import QumadeError
from qumade.geometry import GroundPlane
from qumade.plan.indices import stem
from qumade.plan.planner import plan_samples
from qumade.plan.tables import plan_tables
from qumade.synth.synthesizer import Synthesizer

INDICES = [3, 0, *range(7, 120, 11)]


@pytest.fixture
def world(make_recipe, make_catalog, alphas):
    """Returns a recipe, its catalog, plans with one to three objects, and their table."""
    recipe = make_recipe(objects=(1, 3), crop=(0.4, 0.9), size=(64, 48), per_pair=20, seed=11, min_visible=0.4)
    catalog = make_catalog(
        sizes=((120, 90), (200, 90)),
        grounds=(GroundPlane(0.0, 0.02, -0.8), GroundPlane(0.001, 0.02, -0.7)),
        alphas=(alphas["disc"], alphas["ell"], alphas["wedge"]),
        splits=("train", "val", "train"),
    )
    plans = plan_samples(plan_tables(recipe, catalog), catalog, INDICES)
    visible = np.linspace(0.5, 1, plans.objects.size, dtype=np.float32).reshape(plans.objects.shape)
    clipped = np.arange(len(plans), dtype=np.int32)
    return recipe, catalog, plans, manifest_table(Synthesizer(recipe, catalog), plans, visible, clipped)


def equal(one, other):
    assert len(one) == len(other)
    for n in range(len(one)):
        assert one[n].sample == other[n].sample
        assert len(one[n].objects) == len(other[n].objects)
        assert (one[n].objects == other[n].objects).all()


def test_plans_survive_a_round_trip_through_the_table(world):
    recipe, catalog, plans, table = world
    assert set(plans.samples["count"]) > {1}
    equal(plans_from_manifest(Synthesizer(recipe, catalog), table), plans)


def test_plans_survive_a_file_with_several_row_groups_and_any_selection(world, tmp_path):
    recipe, catalog, plans, table = world
    pq.write_table(table, tmp_path / "manifest.parquet", row_group_size=2)
    read = pq.read_table(tmp_path / "manifest.parquet")
    equal(plans_from_manifest(Synthesizer(recipe, catalog), read), plans)
    some = plans_from_manifest(Synthesizer(recipe, catalog), read.take([4, 1]))
    equal(some, type(plans)(plans.samples[[4, 1]], plans.objects[[4, 1]], plans.seed))
    equal(
        plans_from_manifest(Synthesizer(recipe, catalog), read.slice(1, 3)),
        type(plans)(plans.samples[1:4], plans.objects[1:4], plans.seed),
    )
    assert len(plans_from_manifest(Synthesizer(recipe, catalog), read.slice(0, 0))) == 0


def test_rows_describe_the_sample(world):
    recipe, catalog, plans, table = world
    assert table.schema == MANIFEST_SCHEMA
    rows = table.to_pylist()
    assert [row["index"] for row in rows] == INDICES
    assert [row["stem"] for row in rows] == [stem(index, 120) for index in INDICES]
    assert [row["depth_clipped_px"] for row in rows] == list(range(len(INDICES)))
    for n, row in enumerate(rows):
        sample, things = plans[n].sample, plans[n].objects
        background = catalog.backgrounds[sample["background"]]
        assert row["background"] == background.name
        assert row["foreground_split"] == catalog.foregrounds[sample["foreground"]].split
        assert row["background_split"] is None and row["split"] is None
        assert row["crop_left"] >= 0 and row["crop_left"] + row["crop_width"] <= background.width + 1e-9
        assert row["crop_top"] >= 0 and row["crop_top"] + row["crop_height"] <= background.height + 1e-9
        for thing, recorded in zip(things, row["objects"], strict=True):
            assert recorded["foreground"] == catalog.foregrounds[thing["foreground"]].name
            assert recorded["policy"] == "random" and recorded["blending"] == "alpha" and not recorded["flip"]
            assert 0.5 <= recorded["visible_fraction"] <= 1
            assert recorded["rejected"]["hidden"] == thing["rejected_hidden"]
            # The contact in the photo, computed with the crop in the manifest.
            across = recipe.size[0] - recorded["contact_u"] if row["flip"] else recorded["contact_u"]
            u = row["crop_left"] + across * row["crop_width"] / recipe.size[0]
            v = row["crop_top"] + recorded["contact_v"] * row["crop_height"] / recipe.size[1]
            assert recorded["contact_background_u"] == pytest.approx(u)
            assert recorded["contact_background_v"] == pytest.approx(v)
    assert {row["flip"] for row in rows} == {True, False}


def test_dictionaries_do_not_depend_on_the_rows(world):
    _, _, _, table = world
    for n in range(len(table)):
        one = table.slice(n, 1)["background"].combine_chunks()
        assert one.dictionary.to_pylist() == ["photo_0.png", "photo_1.png"]


def changed(table, name, value, row=0):
    values = table[name].to_pylist()
    values[row] = value
    return table.set_column(table.schema.get_field_index(name), table.field(name), pa.array(values, table[name].type))


def with_object(table, **fields):
    objects = table["objects"].to_pylist()
    objects[0][0].update(fields)
    return changed(table, "objects", objects[0])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("crop_step", -1),
        ("crop_step", 16),
        ("crop_step", 2**31 - 1),
        ("crop_x", -1),
        ("crop_x", 10**6),
        ("crop_y", 10**6),
    ],
)
def test_a_crop_outside_of_its_photo_is_refused(world, field, value):
    recipe, catalog, _, table = world
    with pytest.raises(QumadeError, match=r"got crop .* in sample 3; must lie in photo_0\.png"):
        plans_from_manifest(Synthesizer(recipe, catalog), changed(table, field, value))


@pytest.mark.parametrize(
    "fields",
    [
        {"left": float("nan")},
        {"left": 1e300},
        {"top": float("-inf")},
        {"left": 64.0},
        {"width": 1e9},
        {"width": -3.0},
        {"height": 0.0},
        {"scale": 0.0, "width": 0.0, "height": 0.0},
        {"scale": 0.9},
    ],
)
def test_an_impossible_box_is_refused(world, fields):
    recipe, catalog, _, table = world
    with pytest.raises(QumadeError, match=r"got box .*thing_\d\.png"):
        plans_from_manifest(Synthesizer(recipe, catalog), with_object(table, **fields))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: changed(table, "background", "elsewhere.png"), "background 'elsewhere.png'"),
        (lambda table: with_object(table, foreground="unknown.png"), "foreground .*unknown.png"),
        (lambda table: with_object(table, flip=True), "foreground .*True"),
        (lambda table: with_object(table, policy="other"), "policy 'other'"),
        (lambda table: changed(table, "objects", table["objects"][0].as_py() * 4), "got .* objects"),
        (lambda table: table.drop_columns(["flip"]), "columns"),
    ],
)
def test_rows_of_another_recipe_are_refused(world, change, said):
    recipe, catalog, _, table = world
    with pytest.raises(QumadeError, match=said):
        plans_from_manifest(Synthesizer(recipe, catalog), change(table))


def test_a_changed_byte_of_a_page_is_found(world, tmp_path):
    path = tmp_path / "manifest.parquet"
    pq.write_table(world[3], path, compression="none", write_page_checksum=True)
    good = next(read_manifest(path))
    data = bytearray(path.read_bytes())
    data[data.index(b"img000004")] = ord("j")  # a stem: without a checksum it would be believed
    path.write_bytes(data)
    with pytest.raises(QumadeError, match=f"{path}.*(?i:crc|checksum)"):
        list(read_manifest(path))
    pq.write_table(good, path, write_page_checksum=False)  # as earlier versions did
    assert next(read_manifest(path)).equals(good)


def test_text_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "manifest.parquet"
    stems = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], np.int32).tobytes()), pa.py_buffer(b"\xff\xfe")]
    )
    pq.write_table(pa.table({"stem": stems}), path)
    with pytest.raises(QumadeError, match=str(path)):
        list(read_manifest(path))


def test_a_small_file_that_needs_much_memory_is_refused(tmp_path, monkeypatch):
    """200,000 rows of one name of 10 kB are a file of some kilobytes, and would be 2 GB as text."""
    rows = 200_000
    names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["a" * 10_000]))
    path = tmp_path / "manifest.parquet"
    pq.write_table(pa.table({"stem": names, "split": names}), path, row_group_size=rows, store_schema=False)
    assert path.stat().st_size < 100_000
    with pytest.raises(
        QumadeError, match=r"got a row group of 2000000000 bytes of text in .*manifest\.parquet; must be"
    ):
        list(read_manifest(path, ["stem"]))
    monkeypatch.setattr("qumade.data.manifest._MOST_ROWS", rows - 1)
    with pytest.raises(QumadeError, match=r"got a row group of 200000 rows in .*; must be at most 199999"):
        list(read_manifest(path, ["stem"]))


def test_text_is_read_as_it_was_written(tmp_path):
    columns = {"stem": pa.array(["a", None, "\u00fc"]), "split": pa.array(["x", "x", None]).dictionary_encode()}
    things = [[{"class": "car"}], None, [{"class": None}, {"class": "b"}]]
    table = pa.table({**columns, "objects": pa.array(things, pa.list_(pa.struct([("class", pa.string())])))})
    pq.write_table(table, tmp_path / "manifest.parquet")
    assert next(read_manifest(tmp_path / "manifest.parquet")).equals(table)
    assert next(read_manifest(tmp_path / "manifest.parquet", ["split"])).equals(table.select(["split"]))

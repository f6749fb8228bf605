import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.data.manifest_check import match_rows, require_values, text_bytes
from qumade.errors import DatasetError

THING = pa.struct([("left", pa.float64()), ("rejected", pa.struct([("size", pa.int32())]))])


def rows(**columns):
    values = {
        "index": pa.array([0, 5], pa.int64()),
        "split": pa.array(["train", None]).dictionary_encode(),
        "background": pa.array(["a.png", "b.png"]).dictionary_encode(),
        "objects": pa.array([[{"left": 1.0, "rejected": {"size": 0}}], []], pa.list_(THING)),
    }
    return pa.table(values | columns)


def test_whole_rows_pass():
    require_values(rows(), 6, "m")
    require_values(rows().slice(0, 0), 0, "m")
    require_values(rows().select(["objects"]), 0, "m")


def test_a_class_may_have_no_name():
    thing = pa.struct([("left", pa.float64()), ("class", pa.string())])
    require_values(rows(objects=pa.array([[{"left": 1.0, "class": None}], []], pa.list_(thing))), 6, "m")


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        ({"index": pa.array([0, None], pa.int64())}, "index"),
        ({"background": pa.array(["a.png", None]).dictionary_encode()}, "background"),
        ({"background": pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a.png", None]))}, "background"),
        ({"objects": pa.array([[], None], pa.list_(THING))}, "objects"),
        ({"objects": pa.array([[], [None]], pa.list_(THING))}, "objects"),
        ({"objects": pa.array([[{"left": None, "rejected": {"size": 0}}], []], pa.list_(THING))}, "objects.left"),
        ({"objects": pa.array([[{"left": 1.0, "rejected": None}], []], pa.list_(THING))}, "objects.rejected"),
        (
            {"objects": pa.array([[{"left": 1.0, "rejected": {"size": None}}], []], pa.list_(THING))},
            "objects.rejected.size",
        ),
    ],
)
def test_a_missing_value_is_named(columns, missing):
    with pytest.raises(DatasetError, match=rf"got no {missing} in a row of m;"):
        require_values(rows(**columns), 6, "m")


@pytest.mark.parametrize("index", [-1, 6, 10**9, -(2**63), 2**63 - 1])
def test_an_index_of_no_sample_is_refused(index):
    with pytest.raises(DatasetError, match=f"got index {index} in m; must be from 0 to 5"):
        require_values(rows(index=pa.array([0, index], pa.int64())), 6, "m")


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1), unique=True), st.randoms())
def test_rows_are_found_in_any_order(stems, random):
    shuffled = stems.copy()
    random.shuffle(shuffled)
    pictures = np.sort(np.array(stems, np.str_))
    order = match_rows(pictures, pa.chunked_array([pa.array(shuffled, pa.string())]), "m")
    assert [shuffled[row] for row in order] == pictures.tolist()


def test_bytes_of_text_count_every_row():
    names = pa.array(["aa", "aa", None, "\u00fc", "b"]).dictionary_encode()
    assert text_bytes(names) == 2 + 2 + 2 + 1
    assert text_bytes(names.slice(1, 3)) == 2 + 2
    things = pa.ListArray.from_arrays(pa.array([0, 2, 2, 5]), pa.StructArray.from_arrays([names], ["class"]))
    assert text_bytes(things) == 7 and text_bytes(pa.array([1, 2])) == 0

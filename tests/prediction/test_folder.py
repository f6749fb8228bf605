import json
from pathlib import Path
from typing import Any

import pytest

from qumade.errors import QumadeError
from qumade.prediction.folder import INDEX, MAX_STEM_BYTES, one_of_each_stem, read_index, save_index

ENTRY: dict[str, Any] = {"source": "/a", "outputs": {}, "unfinished": []}


def test_each_file_once_and_each_stem_of_one_file(tmp_path: Path) -> None:
    one, link = tmp_path / "a.mp4", tmp_path / "link" / "a.mp4"
    one.touch()
    link.parent.mkdir()
    link.symlink_to(one)
    assert one_of_each_stem([one, link, one], "clip") == [one]
    with pytest.raises(QumadeError, match=r"Invalid clips: got the stem 'a' of \S+/a.mp4 again in \S+/a.mov; must"):
        one_of_each_stem([one, tmp_path / "a.mov"], "clip")
    with pytest.raises(QumadeError, match=rf"Invalid picture: got a name of {MAX_STEM_BYTES + 1} bytes"):
        one_of_each_stem([tmp_path / ("n" * (MAX_STEM_BYTES + 1) + ".png")], "picture")


@pytest.mark.parametrize("kind", ["pictures", "clips"])
def test_complete_is_true_when_nothing_is_unfinished(tmp_path: Path, kind: str) -> None:
    index = read_index(tmp_path)
    index[kind] = {"a": ENTRY, "b": ENTRY | {"unfinished": ["mask"]}}
    save_index(tmp_path, index)
    assert read_index(tmp_path)["complete"] is False
    index[kind]["b"] = ENTRY
    save_index(tmp_path, index)
    assert read_index(tmp_path)["complete"] is True


@pytest.mark.parametrize("kind", ["pictures", "clips"])
@pytest.mark.parametrize("wrong", [{"source": 1}, {"outputs": []}, {"outputs": {"../x": {}}}, {"unfinished": None}])
def test_an_index_of_something_else_is_refused(tmp_path: Path, kind: str, wrong: dict[str, Any]) -> None:
    index = read_index(tmp_path) | {kind: {"a": ENTRY | wrong}}
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(QumadeError, match=r"got a predictions.json of something else"):
        read_index(tmp_path)

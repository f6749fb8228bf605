import platform
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qumade.errors import QumadeError
from qumade.io.pictures import content_hash
from qumade.teachers.label_pictures import LabelPictures


def teacher(model: str | Path) -> Any:
    """Says how large pictures are, a batch of two at a time."""

    def predict(pictures: list[np.ndarray], batch_size: int) -> list[np.ndarray]:
        return [np.full(picture.shape[:2], batch_size + len(str(model)), np.float32) for picture in pictures]

    return SimpleNamespace(fingerprint=f"of {model}", batch_size=2, predict=predict)


def test_pictures_are_labelled_by_the_teacher_of_the_process(picture_files: list[Path], tmp_path: Path) -> None:
    work = LabelPictures(teacher, "net", "of net")
    work.open()
    chunk = [(tmp_path / f"{content_hash(path)}.npy", path) for path in picture_files]
    same, maps = work(chunk, lambda: False)
    assert same == chunk and [one.shape for one in maps] == [(60, 90), (96, 64), (60, 90)]
    assert {float(one[0, 0]) for one in maps} == {5.0}
    work.close()


def test_another_network_of_the_same_name_is_refused() -> None:
    node = platform.node()
    with pytest.raises(QumadeError, match=rf"^Invalid cluster: got another network net on node {node} than where"):
        LabelPictures(teacher, "net", "of other files").open()


def test_a_picture_of_other_content_is_refused(picture_files: list[Path], tmp_path: Path) -> None:
    work = LabelPictures(teacher, "net", "of net")
    work.open()
    with pytest.raises(QumadeError, match=r"^Invalid picture: got other content of .*photo_1\.png on node"):
        work([(tmp_path / f"{content_hash(picture_files[0])}.npy", picture_files[1])], lambda: False)

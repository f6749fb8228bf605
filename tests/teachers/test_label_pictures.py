import hashlib
import io
import platform
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qumade.errors import QumadeError
from qumade.generation.executors import this_process
from qumade.io.pictures import content_hash
from qumade.teachers.label_pictures import LabelPictures, label_elsewhere


def teacher(model: str | Path) -> Any:
    """Says how large pictures are, a batch of two at a time."""

    def predict(pictures: list[np.ndarray], batch_size: int) -> list[np.ndarray]:
        return [np.full(picture.shape[:2], batch_size + len(str(model)), np.float32) for picture in pictures]

    return SimpleNamespace(fingerprint=f"of {model}", batch_size=2, predict=predict)


def test_pictures_are_labelled_by_the_teacher_of_the_process(picture_files: list[Path], tmp_path: Path) -> None:
    chunk = [(tmp_path / f"{content_hash(path)}.npy", path) for path in picture_files]
    [(same, maps)] = label_elsewhere(this_process, LabelPictures(teacher, "net", "of net"), [chunk])
    assert same == chunk and [one.shape for one in maps] == [(60, 90), (96, 64), (60, 90)]
    assert {float(one[0, 0]) for one in maps} == {5.0}


def test_another_network_of_the_same_name_is_refused() -> None:
    node = platform.node()
    with pytest.raises(QumadeError, match=rf"^Invalid cluster: got another network net on node {node} than where"):
        LabelPictures(teacher, "net", "of other files").open()


def test_a_machine_needs_the_content_of_a_picture_alone(tmp_path: Path) -> None:
    work = LabelPictures(teacher, "net", "of net")
    work.open()
    content = io.BytesIO()
    Image.new("RGB", (5, 4)).save(content, "PNG")
    name = hashlib.sha256(content.getvalue()).hexdigest()
    unit = [(tmp_path / f"{name}.npy", Path("/nowhere/photo.png"), content.getvalue())]
    assert work(unit, lambda: False)[1][0].shape == (4, 5)
    work.close()


def test_a_picture_of_other_content_is_refused(picture_files: list[Path], tmp_path: Path) -> None:
    chunk = [(tmp_path / f"{content_hash(picture_files[0])}.npy", picture_files[1])]
    with pytest.raises(QumadeError, match=r"^Invalid picture: .*photo_1\.png has changed meanwhile; must stay"):
        list(label_elsewhere(this_process, LabelPictures(teacher, "net", "of net"), [chunk]))

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qumade.errors import QumadeError
from qumade.generation.files_check import damaged_stems, file_problems, root_problems

SUFFIXES = {"images": ".jpg", "ignore": ".png"}
STEMS = [f"img{n:06d}" for n in range(1, 6)]
JPEG, PNG = b"\xff\xd8...\xff\xd9", b"\x89PNG...IEND\xaeB`\x82"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder, suffix in SUFFIXES.items():
        (tmp_path / folder).mkdir()
        for stem in STEMS:
            (tmp_path / folder / (stem + suffix)).write_bytes(PNG if suffix == ".png" else JPEG)
    return tmp_path


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "pipe": pipe,
    "broken link": link,
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-1]),
}


def test_whole_files_are_no_problem(root: Path) -> None:
    assert list(file_problems(root, SUFFIXES, STEMS)) == [] == list(root_problems(root, SUFFIXES))
    assert damaged_stems(root, SUFFIXES, STEMS, inside=True) == set()


@pytest.mark.parametrize("folder", SUFFIXES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found(root: Path, folder: str, damage: str) -> None:
    path = root / folder / (STEMS[2] + SUFFIXES[folder])
    DAMAGES[damage](path)
    (found,) = file_problems(root, SUFFIXES, STEMS)
    assert (found.stem, found.path) == (STEMS[2], str(path))
    assert damaged_stems(root, SUFFIXES, STEMS, inside=True) == {STEMS[2]}
    assert damaged_stems(root, SUFFIXES, STEMS, inside=False) == (set() if damage == "torn" else {STEMS[2]})


def test_only_the_named_samples_are_looked_at(root: Path) -> None:
    (root / "images" / f"{STEMS[0]}.jpg").unlink()
    assert damaged_stems(root, SUFFIXES, STEMS[1:], inside=True) == set()
    assert damaged_stems(root / "nowhere", SUFFIXES, STEMS, inside=True) == set(STEMS)


def test_a_folder_in_place_of_a_file_is_refused(root: Path) -> None:
    path = root / "images" / f"{STEMS[0]}.jpg"
    path.unlink()
    path.mkdir()
    with pytest.raises(QumadeError, match=str(path)):
        damaged_stems(root, SUFFIXES, STEMS, inside=False)


def test_what_does_not_belong_is_named_on_one_line(root: Path) -> None:
    (root / "images" / "line\nbreak.jpg").touch()
    (root / "\x1b[31mred").touch()
    found = [*file_problems(root, SUFFIXES, STEMS), *root_problems(root, SUFFIXES)]
    assert len(found) == 2 and all(problem.path.isprintable() for problem in found)

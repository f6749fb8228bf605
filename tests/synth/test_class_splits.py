import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from fixtures.classes import write_cutout
from qumade.errors import ConfigError
from qumade.recipe import Recipe
from qumade.synth.build_catalog import build_catalog
from qumade.synth.synthesizer import Synthesizer


def test_every_split_has_every_class(two_classes: Recipe) -> None:
    catalog, _ = build_catalog(two_classes)
    assert catalog.classes == ("car", "person")
    splits = defaultdict(set)
    for each in catalog.foregrounds:
        assert each.name.startswith(f"{catalog.classes[each.class_number]}/")
        splits[catalog.classes[each.class_number]].add(each.split)
    assert splits == {"car": {"train", "val", "test"}, "person": {"train", "val", "test"}}


def test_objects_of_a_sample_are_of_one_side_and_of_all_its_classes(two_classes: Recipe) -> None:
    synthesizer = Synthesizer.from_recipe(two_classes)
    catalog, plans = synthesizer.catalog, synthesizer.plan(synthesizer.indices())
    seen = defaultdict(set)
    for n in range(len(plans)):
        chosen = [catalog.foregrounds[thing["foreground"]] for thing in plans[n].objects]
        assert len({each.split for each in chosen}) == 1
        seen[chosen[0].split] |= {each.class_number for each in chosen}
    assert seen == {"train": {0, 1}, "val": {0, 1}, "test": {0, 1}}


def test_a_class_with_too_few_identities_is_refused(two_classes: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "foregrounds"
    shutil.copytree(two_classes.foregrounds, folder)
    (folder / "person" / "2.png").unlink()
    with pytest.raises(
        ConfigError, match=r"got 2 different cut-outs of 'person' in .*none for test; must be at least 3"
    ):
        build_catalog(two_classes.model_copy(update={"foregrounds": folder}))


def test_one_object_in_two_classes_is_refused(two_classes: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "foregrounds"
    shutil.copytree(two_classes.foregrounds, folder)
    shutil.copy(folder / "car" / "1.png", folder / "person" / "9.png")
    with pytest.raises(ConfigError, match=r"car/1\.png and .*person/9\.png, which show one object, as 'car' and 'per"):
        build_catalog(two_classes.model_copy(update={"foregrounds": folder}))


def test_a_class_without_a_usable_cutout_is_refused(two_classes: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "foregrounds"
    shutil.copytree(two_classes.foregrounds, folder)
    write_cutout(folder / "bus" / "tiny.png", 0, (4, 4))
    with pytest.raises(ConfigError, match=r"no usable cut-out of 'bus' in .*foregrounds; must have one"):
        build_catalog(two_classes.model_copy(update={"foregrounds": folder}))


def test_masks_of_unknown_objects_are_refused(two_classes: Recipe) -> None:
    recipe = two_classes.model_copy(
        update={"labels": two_classes.backgrounds, "label_names": "cityscapes", "present": "mask"}
    )
    with pytest.raises(ConfigError, match="got 'mask' with 2 classes; must be 'ignore' or 'skip'"):
        build_catalog(recipe)

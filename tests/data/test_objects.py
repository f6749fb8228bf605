import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from qumade.data.folder import FolderDataset
from qumade.data.objects import UNNAMED, class_statistics, read_objects
from qumade.errors import DatasetError
from qumade.generation.audit import audit
from qumade.generation.engine import generate
from qumade.recipe import Recipe
from qumade.synth.synthesizer import Synthesizer


def test_the_manifest_says_what_the_instance_maps_show(two_class_dataset: Path, two_classes: Recipe) -> None:
    dataset, synthesizer = FolderDataset(two_class_dataset), Synthesizer.from_recipe(two_classes)
    objects = read_objects(dataset)
    assert dataset.classes == objects.classes == ("car", "person")
    manifest = pq.read_table(two_class_dataset / "manifest.parquet").to_pylist()
    several = 0
    for position, row in enumerate(manifest):
        sample = synthesizer[row["index"]]
        numbers, own = dataset.read_instances(position), objects.of(position)
        np.testing.assert_array_equal(numbers, sample.owner)
        several += len(row["objects"]) > 1
        for number, thing in enumerate(row["objects"]):
            assert thing["class"] == thing["foreground"].split("/")[0]
            assert objects.classes[objects.class_number[own][number]] == thing["class"]
            rows, columns = np.nonzero(numbers == number + 1)
            left, top, width, height = objects.visible_box[own][number]
            assert (left, top) == (columns.min(), rows.min())
            assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)
            box = [thing[name] for name in ("left", "top", "width", "height")]
            np.testing.assert_array_equal(objects.box[own][number], box)
            # The visible pixels lie in the whole object's box, up to half a pixel of its soft edge.
            assert left >= box[0] - 1 and top >= box[1] - 1
            assert left + width <= box[0] + box[2] + 1 and top + height <= box[1] + box[3] + 1
            assert objects.inverse_depth[own][number] == np.float32(thing["inverse_depth"])
    assert several > 10
    assert audit(two_class_dataset, fraction=1.0, progress=False).problems == ()


def test_a_changed_instance_map_is_found(two_class_dataset: Path, tmp_path: Path) -> None:
    copy = two_class_dataset.parent / "changed"  # beside it: assets are found by relative paths
    shutil.copytree(two_class_dataset, copy)
    stems = sorted((copy / "instances").iterdir())
    shutil.copy(stems[0], stems[-1])
    problems = audit(copy, fraction=1.0, progress=False).problems
    assert [problem.path for problem in problems] == [str(stems[-1])]
    shutil.rmtree(copy)


def test_one_class_has_instances_when_asked_and_equal_files_otherwise(works, read_tree) -> None:
    plain, asked = works.out(), works.out()
    recipe = works.recipe.model_copy(update={"instances": True})
    generate(works.recipe, plain, limit=20, workers=1, progress=False)
    generate(recipe, asked, limit=20, workers=1, progress=False)
    without, tree = read_tree(plain), read_tree(asked)
    assert not any(name.startswith("instances") for name in without)
    shared = [name for name in without if name.startswith(("images", "masks", "depth"))]
    assert len(shared) == 63 and all(without[name] == tree[name] for name in shared)
    objects = read_objects(FolderDataset(asked))
    assert objects.classes == (UNNAMED,) and not objects.class_number.any()


def test_objects_follow_a_selection(two_class_dataset: Path) -> None:
    dataset = FolderDataset(two_class_dataset)
    whole, chosen = read_objects(dataset), read_objects(dataset.take(np.array([3, 17])))
    np.testing.assert_array_equal(
        chosen.visible_box, np.concatenate([whole.visible_box[whole.of(3)], whole.visible_box[whole.of(17)]])
    )


def test_statistics_of_classes(two_class_dataset: Path) -> None:
    objects = read_objects(FolderDataset(two_class_dataset))
    found = class_statistics(objects, (48, 36))
    assert [each.name for each in found] == ["car", "person"]
    for number, each in enumerate(found):
        members = (objects.class_number == number) & (objects.visible_box[:, 2] > 0)
        assert each.objects == members.sum()
        boxes = objects.visible_box[members].astype(float)
        assert each.median_area == pytest.approx(np.median(boxes[:, 2] * boxes[:, 3]) / (48 * 36))
        assert each.mean_centre is not None
        assert each.mean_centre[0] == pytest.approx((boxes[:, 0] + boxes[:, 2] / 2).mean() / 48)
    assert class_statistics(objects, None)[0].median_area is None


def test_a_dataset_without_instances_is_refused(make_dataset) -> None:
    with pytest.raises(DatasetError, match=r"got no .*manifest\.parquet"):
        read_objects(FolderDataset(make_dataset()))

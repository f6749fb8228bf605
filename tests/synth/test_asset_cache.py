import gc
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from qumade.compose.sample import draw_sample
from qumade.errors import QumadeError
from qumade.geometry import inverse_depth_map
from qumade.plan.planner import plan_samples
from qumade.plan.tables import plan_tables
from qumade.recipe import Recipe
from qumade.synth import asset_cache as module
from qumade.synth.asset_cache import AssetCache
from qumade.synth.build_catalog import build_catalog


@pytest.fixture
def recipe(asset_folders):
    return Recipe(
        backgrounds=asset_folders / "backgrounds", foregrounds=asset_folders / "foregrounds", size=(32, 24), flip=True
    )


def opened(recipe):
    catalog, _ = build_catalog(recipe)
    return catalog, AssetCache(recipe, catalog)


def test_a_background_is_resized_for_its_crop(recipe):
    _, store = opened(recipe)
    for number, size in enumerate([(32, 24), (38, 24), (32, 43)]):
        prepared = store.background(number, 0, False)
        assert prepared.image.shape == (*size[::-1], 3)
        assert prepared.inverse_depth.shape == size[::-1] and prepared.inverse_depth.dtype == np.float32
        assert prepared.occluder is None


def test_a_photo_of_the_sample_size_is_unchanged(recipe, asset_folders):
    recipe = recipe.model_copy(update={"size": (60, 45)})
    catalog, store = opened(recipe)
    photo = np.asarray(Image.open(asset_folders / "backgrounds" / catalog.backgrounds[0].name))
    prepared = store.background(0, 0, False)
    np.testing.assert_array_equal(prepared.image, photo)
    np.testing.assert_array_equal(prepared.inverse_depth, inverse_depth_map(catalog.backgrounds[0].plane, 60, 45))


def test_flipped_backgrounds_are_mirror_images(recipe, asset_folders):
    depths = asset_folders / "depths"
    depths.mkdir()
    for name, size in (("photo_0", (45, 60)), ("photo_1", (50, 80)), ("photo_2", (60, 45))):
        np.save(depths / f"{name}.npy", np.random.default_rng(0).random(size))
    recipe = recipe.model_copy(update={"depths": depths, "depths_kind": "metric"})
    _, store = opened(recipe)
    plain, flipped = (store.background(1, 0, flip) for flip in (False, True))
    for one, other in ((plain.image, flipped.image), (plain.occluder, flipped.occluder)):
        np.testing.assert_array_equal(one[:, ::-1], other)
    np.testing.assert_array_equal(plain.inverse_depth[:, ::-1], flipped.inverse_depth)
    np.testing.assert_array_equal(plain.inverse_depth, plain.occluder)
    # No value is interpolated between two values of the map.
    assert set(plain.inverse_depth.ravel()) <= set(np.load(depths / "photo_1.npy").astype(np.float32).ravel())


def test_mirrored_cut_outs_are_mirror_images(recipe):
    catalog, store = opened(recipe)
    plain = {f.name: n for n, f in enumerate(catalog.foregrounds) if not f.flip}
    mirrored = [n for n, f in enumerate(catalog.foregrounds) if f.flip]
    assert mirrored
    for number in mirrored:
        one, other = store.cutout(plain[catalog.foregrounds[number].name]), store.cutout(number)
        start, width, height = one.levels[0]
        np.testing.assert_array_equal(one.levels, other.levels)
        level = np.s_[start : start + (width + 2) * (height + 2)]
        shape = height + 2, width + 2, 4
        # Resized sums are rounded in another order.
        difference = one.pixels[level].reshape(shape)[:, ::-1].astype(int) - other.pixels[level].reshape(shape)
        assert np.abs(difference).max() <= 1


def test_a_cut_out_is_cropped_to_the_object(recipe):
    catalog, store = opened(recipe)
    number = next(n for n, f in enumerate(catalog.foregrounds) if f.name == "block.png")
    pyramid = store.cutout(number)
    assert (pyramid.width, pyramid.height) == (64, 48)  # without the margin of 4 pixels
    assert (pyramid.pixels[..., 3] == 65535).sum() == (pyramid.levels[:, 1] * pyramid.levels[:, 2]).sum()


def test_levels_reach_the_largest_drawn_size(recipe):
    recipe = recipe.model_copy(update={"scale": {"default": (0.1, 4.0)}, "size": (224, 224)})
    catalog, store = opened(recipe)
    for number, foreground in enumerate(catalog.foregrounds):
        assert tuple(store.cutout(number).levels[0, 1:]) == (foreground.width, foreground.height)


@pytest.mark.parametrize("change", ["bytes", "gone"])
@pytest.mark.parametrize("name", ["backgrounds/photo_1.png", "foregrounds/disc.png"])
def test_a_changed_file_is_rejected_by_name(recipe, asset_folders, name, change):
    catalog, store = opened(recipe)
    path = asset_folders / name
    if change == "gone":
        path.unlink()
    else:
        Image.fromarray(np.zeros((50, 80, 4), np.uint8)).save(path)
    with pytest.raises(QumadeError) as error:
        if name.startswith("backgrounds"):
            store.background(1, 0, False)
        else:
            store.cutout(next(n for n, f in enumerate(catalog.foregrounds) if f.name == "disc.png"))
    assert str(path) in str(error.value)
    assert ("has changed" if change == "bytes" else "got no file") in str(error.value)
    store.background(0, 0, False)  # other assets are unchanged


@pytest.mark.parametrize("folder", ["depths", "masks"])
def test_a_changed_depth_map_or_mask_is_rejected_by_name(asset_folders, folder):
    (asset_folders / folder).mkdir()
    if folder == "depths":
        for name, size in (("photo_0", (45, 60)), ("photo_1", (50, 80)), ("photo_2", (60, 45))):
            np.save(asset_folders / folder / f"{name}.npy", np.linspace(0.1, 1, size[0] * size[1]).reshape(size))
        path = asset_folders / folder / "photo_1.npy"
    else:
        whole = Image.open(asset_folders / "foregrounds" / "disc.png")
        whole.getchannel("A").save(asset_folders / folder / "disc.png")
        whole.convert("RGB").save(asset_folders / "foregrounds" / "disc.png")
        path = asset_folders / folder / "disc.png"
    recipe = Recipe(
        backgrounds=asset_folders / "backgrounds",
        foregrounds=asset_folders / "foregrounds",
        **{folder: asset_folders / folder},
    )
    catalog, store = opened(recipe)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(QumadeError) as error:
        if folder == "depths":
            store.background(1, 0, False)
        else:
            store.cutout(next(n for n, f in enumerate(catalog.foregrounds) if f.name == "disc.png"))
    assert str(path) in str(error.value)


@pytest.mark.slow
def test_the_least_recently_used_asset_is_dropped(recipe, monkeypatch):
    _, store = opened(recipe)
    assert store.background(0, 0, False) is store.background(0, 0, False)
    assert store.cutout(0) is store.cutout(0)

    room = sum(part.nbytes for part in store.background(0, 0, False) if isinstance(part, np.ndarray)) * 5 // 2
    monkeypatch.setattr(module, "_ROOM_BYTES", room)
    _, store = opened(recipe)
    alive = {}
    for key in [(0, False), (1, False), (0, False), (2, True), (2, False)]:
        alive[key] = weakref.ref(store.background(key[0], 0, key[1]).image)
    gc.collect()
    kept = {key for key, image in alive.items() if image() is not None}
    assert (2, False) in kept and (1, False) not in kept and len(kept) <= 2


def test_assets_read_again_are_equal(recipe, monkeypatch):
    _, store = opened(recipe)
    first = [store.background(n, 0, False).image.copy() for n in range(3)], [store.cutout(n).pixels for n in range(3)]
    monkeypatch.setattr(module, "_ROOM_BYTES", 1)
    _, store = opened(recipe)
    for _ in range(2):
        for n in (2, 0, 1):
            np.testing.assert_array_equal(store.background(n, 0, False).image, first[0][n])
            np.testing.assert_array_equal(store.cutout(n).pixels, first[1][n])


def test_the_sample_shows_the_photo_at_each_contact(asset_folders):
    # The colours of the photo encode column and row: the sample must show the photo's colour at each contact.
    v, u = np.mgrid[:200, :240]
    for path in (asset_folders / "backgrounds").iterdir():
        path.unlink()
    Image.fromarray(np.stack([u, v, 0 * u], -1).astype(np.uint8)).save(asset_folders / "backgrounds" / "map.png")
    recipe = Recipe(
        backgrounds=asset_folders / "backgrounds",
        foregrounds=asset_folders / "foregrounds",
        size=(96, 96),
        crop=(0.4, 1),
    )
    catalog, store = opened(recipe)
    checked = 0
    plans = plan_samples(plan_tables(recipe, catalog), catalog, range(60))
    for planned in (plans[index] for index in range(60)):
        empty = type(planned)(planned.sample, planned.objects[:0])
        sample = draw_sample(empty, recipe.size, store.background, store.cutout)
        thing = planned.objects[0]
        column, row = int(thing["contact_u"]), int(thing["contact_v"])
        if not (2 <= column < 94 and 2 <= row < 94):
            continue
        checked += 1
        pixel = 240 / round(240 * planned.sample["scale_x"])
        assert abs(sample.image[row, column, 0] + 0.5 - thing["contact_background_u"]) <= pixel / 2 + 1.5
        assert abs(sample.image[row, column, 1] + 0.5 - thing["contact_background_v"]) <= pixel / 2 + 1.5
        assert sample.inverse_depth[row, column] == pytest.approx(thing["inverse_depth"], abs=0.02)
    assert checked > 20


def test_the_cache_is_thread_safe(recipe, monkeypatch):
    catalog, alone = opened(recipe)
    keys = [(number, 0, flip) for number in range(len(catalog.backgrounds)) for flip in (False, True)]
    expected = {key: alone.background(*key).image for key in keys}
    room = max(image.nbytes for image in expected.values())  # room for one image: hardly anything stays cached
    shared = AssetCache(recipe, catalog, room_bytes=room)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            read = list(pool.map(lambda key: (key, shared.background(*key).image), keys * 50))
    finally:
        sys.setswitchinterval(before)
    assert all(np.array_equal(image, expected[key]) for key, image in read)
    kept = shared._backgrounds
    assert kept._bytes == sum(size for _, size in kept._values.values())


def test_without_a_depth_map_what_is_labelled_stands_upright_and_hides_objects(recipe, asset_folders):
    """A post on the road of one photo. It has the depth of its foot; the ground keeps that of its plane."""
    labels = asset_folders / "labels"
    labels.mkdir()
    road, pole, sky = 0, 5, 10
    for name, (width, height) in (("photo_0", (60, 45)), ("photo_1", (80, 50)), ("photo_2", (45, 60))):
        ids = np.full((height, width), road, np.uint8)
        ids[: height // 2] = sky
        ids[5 : height - 10, 20:24] = pole
        Image.fromarray(ids).save(labels / f"{name}.png")
    fields = recipe.model_dump(exclude_unset=True) | {
        "labels": labels,
        "label_names": "cityscapes",
        "size": (60, 45),
        "horizon": 0.4,
    }
    catalog, store = opened(Recipe(**fields))
    number = next(n for n, background in enumerate(catalog.backgrounds) if background.name == "photo_0.png")
    plane = catalog.backgrounds[number].plane
    prepared, flipped = (store.background(number, 0, flip) for flip in (False, True))
    post = plane.inverse_depth(22.0, 35.0)
    np.testing.assert_allclose(prepared.inverse_depth[5:35, 20:24], post, rtol=1e-3)
    np.testing.assert_allclose(prepared.occluder[5:35, 20:24], post, rtol=1e-3)
    np.testing.assert_array_equal(prepared.inverse_depth[35:], inverse_depth_map(plane, 60, 45)[35:])
    assert not prepared.occluder[35:].any() and not prepared.inverse_depth[:5].any()
    np.testing.assert_array_equal(flipped.inverse_depth[:, ::-1], prepared.inverse_depth)
    assert catalog.backgrounds[number].coarse_occluder[10, 22] == pytest.approx(post, rel=1e-3)


def test_the_flat_prior_hides_nothing(recipe, asset_folders):
    labels = asset_folders / "labels"
    labels.mkdir()
    for name, size in (("photo_0", (45, 60)), ("photo_1", (50, 80)), ("photo_2", (60, 45))):
        Image.fromarray(np.zeros(size, np.uint8)).save(labels / f"{name}.png")
    fields = recipe.model_dump(exclude_unset=True) | {"labels": labels, "label_names": "cityscapes", "prior": "flat"}
    assert opened(Recipe(**fields))[1].background(0, 0, False).occluder is None


def test_the_size_of_decoded_cut_outs_is_known_before_they_are_decoded(recipe):
    catalog, store = opened(recipe)
    count = len(catalog.foregrounds)
    truth = sum(store.cutout(number).pixels.nbytes for number in range(count))
    assert store.cutouts_beyond_room() == 0
    estimate = AssetCache(recipe, catalog, room_bytes=truth // 2).cutouts_beyond_room()
    assert 0.5 * truth < estimate < 2 * truth
    assert AssetCache(recipe, catalog, room_bytes=2 * estimate).cutouts_beyond_room() == 0


def test_cut_outs_that_were_decoded_elsewhere_are_taken(recipe, monkeypatch):
    catalog, store = opened(recipe)
    elsewhere = [store.cutout(number) for number in range(len(catalog.foregrounds))]
    for part in (part for pyramid in elsewhere for part in pyramid if isinstance(part, np.ndarray)):
        part.flags.writeable = False  # as from Ray
    taking = AssetCache(recipe, catalog, room_bytes=1)
    taking.take_cutouts(elsewhere.__getitem__)
    monkeypatch.setattr(taking, "_build", None)
    for number in (0, 2, 1, 0):
        for part, truth in zip(taking.cutout(number), elsewhere[number], strict=True):
            np.testing.assert_array_equal(part, truth)
            assert not isinstance(part, np.ndarray) or part.flags.writeable

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from qumade.assets.labels import TABLE_ENTRIES, read_labels, standable, standing_table, target_pixels
from qumade.errors import QumadeError
from qumade.geometry import GroundPlane, flat_ground_prior, inverse_depth_map

ROAD, BUILDING, SKY, CAR = 0, 2, 10, 13
IDS = np.array([[0, 1, 2, 10], [13, 19, 255, 7], [0, 0, 3, 200]], np.uint8)


def write_png(file: Path, width: int, height: int, bits: int, colour: int, data: bytes) -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["grey", "grey16", "palette", "npy", "npy64"])
def test_ids_are_read_as_written(tmp_path: Path, kind: str) -> None:
    file = tmp_path / ("map.npy" if "npy" in kind else "map.png")
    ids = IDS.astype(np.int64) + (40_000 if kind in ("grey16", "npy64") else 0)
    if kind == "grey":
        Image.fromarray(IDS).save(file)
    elif kind == "grey16":
        Image.fromarray(ids.astype(np.uint16)).save(file)
    elif kind == "palette":
        picture = Image.fromarray(IDS).convert("P")
        picture.putpalette(list(reversed(range(256))) * 3)
        picture.putdata(IDS.ravel().tolist())
        picture.save(file)
    else:
        np.save(file, ids if kind == "npy64" else IDS)
    read = read_labels(file, (4, 3))
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, ids)


def test_palette_of_few_bits_is_read_as_indices(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.putdata([2, 1, 0, 2])
    picture.save(tmp_path / "map.png", bits=2)
    assert read_labels(tmp_path / "map.png", (4, 1)).tolist() == [[2, 1, 0, 2]]


def test_a_wrong_size_names_both_files_and_sizes(tmp_path: Path) -> None:
    Image.fromarray(IDS).save(tmp_path / "map.png")
    with pytest.raises(QumadeError, match=r"got 4x3 in .*map\.png; must be 40x30 of .*photo\.jpg"):
        read_labels(tmp_path / "map.png", (40, 30), tmp_path / "photo.jpg")


def test_invalid_label_maps_are_rejected_by_name(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    Image.fromarray(IDS).convert("RGB").save(bad / "rgb.png")
    Image.fromarray(IDS).convert("LA").save(bad / "grey_alpha.png")
    Image.fromarray(IDS).save(bad / "really.jpg")
    (bad / "really.jpg").rename(bad / "jpeg.png")
    Image.fromarray(IDS).save(bad / "truncated.png")
    (bad / "truncated.png").write_bytes((bad / "truncated.png").read_bytes()[:50])
    (bad / "empty.png").touch()
    (bad / "folder.png").mkdir()
    (bad / "broken.png").symlink_to(bad / "nowhere.png")
    write_png(bad / "two_bits_grey.png", 4, 1, 2, 0, b"\0\x1b")
    write_png(bad / "bomb.png", 60_000, 60_000, 8, 0, b"\0")
    np.save(bad / "float.npy", IDS / 2)
    np.save(bad / "cube.npy", IDS[None])
    np.save(bad / "nothing.npy", IDS[:0])
    np.save(bad / "large.npy", IDS.astype(np.uint64) + 2**40)
    np.save(bad / "object.npy", IDS.astype(object), allow_pickle=True)
    np.savez(bad / "zip.npz", IDS)
    (bad / "zip.npz").rename(bad / "zip.npy")
    np.save(bad / "torn.npy", IDS)
    (bad / "torn.npy").write_bytes((bad / "torn.npy").read_bytes()[:-3])
    (bad / "empty.npy").touch()
    files = sorted(bad.iterdir())
    assert len(files) == 17
    for file in files:
        with pytest.raises(QumadeError, match=file.name) as caught:
            read_labels(file, (4, 3))
        assert "\n" not in str(caught.value)
    with pytest.raises(QumadeError, match=r"missing\.png"):
        read_labels(bad / "missing.png", (4, 3))


@settings(max_examples=60)
@given(data=st.data())
def test_damaged_files_never_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    suffix = data.draw(st.sampled_from([".png", ".npy"]))
    file = folder / f"map{suffix}"
    if suffix == ".npy":
        np.save(file, IDS)
    else:
        Image.fromarray(IDS).save(file)
    raw = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        assert read_labels(file, (4, 3)).shape == (3, 4)
    except QumadeError as error:
        assert file.name in str(error)


def street() -> np.ndarray:
    """Sky to row 80, buildings to row 110, road below: 300 wide, 200 high."""
    labels = np.full((200, 300), ROAD, np.int32)
    labels[:110] = BUILDING
    labels[:80] = SKY
    return labels


def level(row: float) -> GroundPlane:
    """Ground whose horizon is that row."""
    return GroundPlane(0.0, 1.0, -row)


def test_clean_ground_is_kept_whole() -> None:
    labels = street()
    labels[150:170, 100:140] = CAR
    expected = labels == ROAD
    for horizon in (None, level(95.0), flat_ground_prior(95, 200)):
        np.testing.assert_array_equal(standable(labels, [ROAD], [SKY], horizon), expected)


def test_ground_above_the_horizon_is_dropped() -> None:
    kept = standable(street(), [ROAD, BUILDING], [SKY], level(100.2))
    assert not kept[:100].any() and kept[100:].all()  # the centre of row 100 is at 100.5
    tilted = GroundPlane(0.1, 1.0, -120.0)
    kept = standable(street(), [ROAD, BUILDING], [SKY], tilted)
    rows, columns = np.nonzero(kept)
    assert (rows + 0.5 > 120 - 0.1 * (columns + 0.5)).all() and kept[-1].all()


def test_cloud_labelled_road_is_dropped() -> None:
    labels = street()
    labels[20:60, 50:150] = ROAD
    for horizon in (None, level(40.0), level(95.0)):
        kept = standable(labels, [ROAD], [SKY], horizon)
        assert not kept[:110].any() and kept[110:].all()


def test_sky_that_is_all_road_is_dropped_without_a_horizon() -> None:
    labels = street()
    labels[2:80] = ROAD
    assert not standable(labels, [ROAD], [SKY], None)[:110].any()
    labels[80:110, 140:160] = ROAD  # connected to the ground and indistinguishable, so all of it is removed
    assert not standable(labels, [ROAD], [SKY], None).any()
    assert standable(labels, [ROAD], [SKY], level(95.0))[110:].all()


def test_a_patch_mostly_above_the_horizon_is_dropped_below_it_too() -> None:
    labels = np.full((200, 300), BUILDING, np.int32)
    labels[20:110, 100:200] = ROAD
    assert not standable(labels, [ROAD], [SKY], level(90.0)).any()


def test_puddle_labelled_sky_does_not_drop_the_road_behind_it() -> None:
    labels = street()
    labels[150:180, 50:150] = SKY
    np.testing.assert_array_equal(standable(labels, [ROAD], [SKY], level(95.0)), labels == ROAD)


def test_islands_and_fringes_are_dropped() -> None:
    labels = np.full((200, 300), BUILDING, np.int32)
    labels[150:] = ROAD
    labels[120:126, 10:16] = ROAD  # 36 of 60 000 pixels
    labels[140:150, 100:102] = ROAD
    kept = standable(labels, [ROAD], [SKY], level(90.0))
    assert not kept[:150].any() and kept[150:].all()


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    horizon=st.one_of(st.none(), st.builds(GroundPlane, st.floats(-0.2, 0.2), st.just(1.0), st.floats(-120, 20))),
)
def test_standing_is_always_on_labelled_ground_below_the_horizon(seed: int, horizon: GroundPlane | None) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.choice([ROAD, 1, BUILDING, SKY], size=(10, 12))
    labels = np.kron(coarse, np.ones((10, 10), int)).astype(np.int32)
    noise = rng.random(labels.shape) < 0.05
    labels[noise] = rng.choice([ROAD, SKY], size=noise.sum())
    before = labels.copy()
    kept = standable(labels, [ROAD, 1], [SKY], horizon)
    np.testing.assert_array_equal(labels, before)
    assert np.isin(labels[kept], [ROAD, 1]).all()
    rows, columns = np.nonzero(kept)
    if horizon is not None:
        assert (rows + 0.5 > horizon.horizon_row(columns + 0.5)).all()


def test_target_pixels() -> None:
    assert target_pixels(IDS.astype(np.int32), [13, 255]).sum() == 2
    assert not target_pixels(IDS.astype(np.int32), []).any()


def test_table_holds_every_pixel_of_a_small_ground() -> None:
    where = np.zeros((50, 60), bool)
    where[30:40, 10:20] = True
    table = standing_table(where)
    assert table.pixels.dtype == np.int32 and table.distance is None
    np.testing.assert_array_equal(table.pixels, np.flatnonzero(where))


def test_table_of_no_pixels_is_empty() -> None:
    table = standing_table(np.zeros((5, 5), bool), np.ones((5, 5), np.float32))
    assert table.pixels.size == 0 and table.distance is None


def test_large_ground_is_thinned_evenly() -> None:
    where = np.zeros((400, 600), bool)
    where[150:] = True
    table = standing_table(where)
    assert table.pixels.size == TABLE_ENTRIES and (np.diff(table.pixels) > 0).all()
    rows = table.pixels // 600
    assert stats.kstest(rows + 0.5, stats.uniform(150, 250).cdf).statistic < 0.01
    np.testing.assert_array_equal(standing_table(where.copy()).pixels, table.pixels)


@pytest.mark.parametrize("roll", [0.0, 0.03, -0.2])
@pytest.mark.parametrize("shape", ["rectangle", "triangle"])
def test_distance_sampling_makes_distance_uniform(roll: float, shape: str) -> None:
    height, width = 300, 400
    plane = GroundPlane(roll / 500, 1 / 500, -100 / 500 - roll * 200 / 500)
    depth = inverse_depth_map(plane, width, height)
    v, u = np.mgrid[:height, :width] + 0.5
    where = (depth > 1 / 20) & (depth < 1 / 3)
    if shape == "triangle":  # a road that narrows to its vanishing point
        where &= np.abs(u - 200) < 0.8 * (v - 100)
    depth[::9, ::7] = np.nan
    table = standing_table(where, depth)
    assert table.distance is not None and table.distance[-1] == 1 and (np.diff(table.distance) >= 0).all()
    drawn = np.searchsorted(table.distance, (np.arange(50_000) + 0.5) / 50_000, side="right")
    metres = 1 / depth.ravel()[table.pixels[drawn]].astype(np.float64)
    assert np.isfinite(metres).all()
    assert (
        stats.kstest(metres, stats.uniform(metres.min(), np.ptp(metres)).cdf).statistic < 0.03
    )  # far rows are 0.8 m apart
    assert metres.min() < 3.1 and metres.max() > 19
    picture_law = 1 / depth.ravel()[table.pixels[np.isfinite(depth.ravel()[table.pixels])]]
    assert stats.kstest(picture_law, stats.uniform(metres.min(), np.ptp(metres)).cdf).statistic > 0.3


def test_distance_sampling_leaves_out_unknown_depth() -> None:
    where = np.ones((10, 10), bool)
    depth = np.full((10, 10), 0.5, np.float32)
    depth[:4] = 0
    depth[4:8] = np.nan
    table = standing_table(where, depth)
    assert table.distance is not None
    drawn = np.searchsorted(table.distance, (np.arange(200) + 0.5) / 200, side="right")
    np.testing.assert_array_equal(np.bincount(drawn, minlength=100)[80:], np.full(20, 10))
    assert standing_table(where, np.zeros((10, 10), np.float32)).distance is None


def test_real_noisy_maps(real_data: Path) -> None:
    files = sorted((real_data / "qumade" / "bgLabels").glob("*.png"))
    if not files:
        pytest.skip("no predicted label maps")
    shares = []
    for file in files[::4]:
        labels = read_labels(file, Image.open(file).size)
        kept = standable(labels, [0, 1, 9], [10], level(0.45 * labels.shape[0]))
        assert np.isin(labels[kept], [0, 1, 9]).all()
        shares.append(kept.mean())
    assert 0.1 < np.mean(np.array(shares) == 0) < 0.45  # a quarter of these photos have nowhere to stand
    assert np.mean(shares) > 0.1

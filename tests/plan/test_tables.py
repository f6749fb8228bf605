import numpy as np

from qumade.geometry import GroundPlane
from qumade.plan.tables import plan_tables


def test_side_members_list_the_foregrounds_of_each_split(make_recipe, make_catalog, alphas):
    catalog = make_catalog(alphas=tuple(alphas.values()), splits=("test", "train", None, "train", "val"))
    tables = plan_tables(make_recipe(), catalog)
    sides = [tables.side_members[a:b].tolist() for a, b in zip(tables.side_start, tables.side_start[1:], strict=False)]
    assert sides == [[1, 3], [4], [0], [2]]
    for members, side in zip(sides, range(4), strict=True):
        assert (tables.side[members] == side).all()


def test_coarse_grids_are_concatenated(make_recipe, make_catalog):
    grids = [np.full((2, 3), 1, np.float32), GroundPlane(0.0, 1.0, 0.0), np.full((4, 5), 2, np.float32)]
    tables = plan_tables(make_recipe(), make_catalog(sizes=((30, 20), (9, 9), (50, 40)), grounds=tuple(grids)))
    assert tables.coarse_size.tolist() == [[3, 2], [0, 0], [5, 4]]
    assert tables.coarse_start.tolist() == [0, 6, 6]
    assert tables.coarse_depth.tolist() == [1.0] * 6 + [2.0] * 20
    assert np.isnan(tables.plane[[0, 2]]).all() and tables.plane[1].tolist() == [0.0, 1.0, 0.0]


def test_silhouette_sums_give_the_sum_of_any_window(make_recipe, make_catalog, alphas):
    catalog = make_catalog(alphas=(alphas["wedge"],))
    sums = plan_tables(make_recipe(), catalog).silhouette_sums[0]
    silhouette = catalog.foregrounds[0].silhouette.astype(np.float64)
    for top, bottom, left, right in [(0, 32, 0, 32), (3, 17, 5, 6), (31, 32, 0, 9), (4, 4, 2, 7)]:
        window = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
        assert window == np.float64(silhouette[top:bottom, left:right].sum())

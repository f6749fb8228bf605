"""Which id in a label map means what: built-in tables and a user's own."""

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from qumade.errors import ConfigError
from qumade.io.config import read_yaml, shown

__all__ = [
    "LABEL_TABLES",
    "LabelTable",
    "alike",
    "fitting_tables",
    "label_table",
    "means_unknown",
    "named_ids",
    "read_label_table",
    "resolve_ids",
    "table_of_names",
    "unnamed_ids",
    "unnamed_text",
]

LabelTable = Mapping[str, tuple[int, ...]]
"""Ids of each name. A name may have several ids, an id several names (synonyms), or a name none at all: the classes
road, sidewalk, terrain, vegetation, building, person, car and sky are understood by every built-in table."""

UNNAMED_SHARE = 0.001  # of a map: fewer pixels of ids without a name are noise, and unknown
NO_LABEL = (255, 65535)  # the highest code: "no label" by custom
# Names of what is not labelled in public datasets, in lower case and of letters only.
_UNKNOWN = re.compile(r"unlabell?ed|void|dont ?care|ignored?( ?(regions?|areas?))?")

# Train ids of Cityscapes; 19 and 255 are what its users write where nothing is labelled.
_CITYSCAPES = (
    "road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain, sky, person, "
    "rider, car, truck, bus, train, motorcycle, bicycle"
)
# SceneParse150 of ADE20K as networks give it: from 0. (Its annotation files start at 1 and need a file of names.)
_ADE20K = (
    "wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door, "
    "table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field, "
    "armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard, "
    "chest of drawers, counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, "
    "case, pool table, pillow, screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, "
    "book, hill, bench, countertop, stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade machine, "
    "hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, booth, television receiver, airplane, "
    "dirt track, apparel, pole, land, bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship, "
    "fountain, conveyer belt, canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag, "
    "minibike, cradle, oven, ball, food, step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, "
    "screen, blanket, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate, "
    "monitor, bulletin board, shower, radiator, glass, clock, flag"
)
# Label ids of Cityscapes, as its files *_labelIds.png hold them. The first seven are its group "void".
_CITYSCAPES_IDS = (
    "unlabelled, unlabelled, unlabelled, unlabelled, unlabelled, unlabelled, unlabelled, road, sidewalk, parking, "
    "rail track, building, wall, fence, guard rail, bridge, tunnel, pole, polegroup, traffic light, traffic sign, "
    "vegetation, terrain, sky, person, rider, car, truck, bus, caravan, trailer, train, motorcycle, bicycle"
)
# All classes of CamVid in alphabetical order, as its label_colors.txt lists them.
_CAMVID_32 = (
    "animal, archway, bicyclist, bridge, building, car, cart luggage pram, child, pole, fence, lane markings, "
    "other lane markings, misc text, motorcycle, other moving, parking block, person, road, road shoulder, sidewalk, "
    "traffic sign, sky, suv pickup truck, traffic cone, traffic light, train, tree, truck bus, tunnel, "
    "other vegetation, unlabelled, wall"
)
# The eleven classes that most users of CamVid keep of its 32, in the order of the SegNet tutorial.
_CAMVID = "sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist, unlabelled"


def table_of_names(names: Mapping[int, str]) -> LabelTable:
    """The table of ids and their names, as a network's configuration or a file gives them."""
    table: dict[str, tuple[int, ...]] = {}
    for i in sorted(names):
        table[names[i]] = (*table.get(names[i], ()), i)
    return MappingProxyType(table)


def alike(table: LabelTable, names: Iterable[str]) -> list[str]:
    """The names of a table that are one of these but for capitals: a user's own table may have Sky."""
    wanted = [name.casefold() for name in names]
    return [each for name in wanted for each in table if each.casefold() == name]


def means_unknown(name: str) -> bool:
    """Whether a class of this name is none: its pixels are not labelled and may show anything ("void", "unlabelled",
    "ignore", "DontCare")."""
    letters = re.sub(r"[^a-z ]", "", re.sub(r"[\s_-]+", " ", name.casefold()))
    return bool(_UNKNOWN.fullmatch(letters.strip()))


def _built_in(names: str, synonyms: Mapping[str, str]) -> LabelTable:
    table = dict(table_of_names(dict(enumerate(names.split(", ")))))
    for synonym, meant in synonyms.items():
        table[synonym] = tuple(i for name in filter(None, meant.split(", ")) for i in table[name])
    return MappingProxyType(table)


_ADE20K_SYNONYMS = {
    "terrain": "grass, earth, field, land, sand, dirt track",
    "vegetation": "tree, plant, palm, flower",
}

LABEL_TABLES: Mapping[str, LabelTable] = MappingProxyType(
    {
        "cityscapes": MappingProxyType({**_built_in(_CITYSCAPES, {}), "unlabelled": (19, 255)}),
        "cityscapes_ids": _built_in(_CITYSCAPES_IDS, {}),
        "ade20k": _built_in(_ADE20K, _ADE20K_SYNONYMS),
        "ade20k_from_1": _built_in(f"unlabelled, {_ADE20K}", _ADE20K_SYNONYMS),
        "camvid": _built_in(
            _CAMVID,
            {
                "sidewalk": "pavement",
                "vegetation": "tree",
                "traffic sign": "sign",
                "person": "pedestrian",
                "terrain": "",  # not one of its classes
            },
        ),
        "camvid_32": _built_in(
            _CAMVID_32,
            {
                "road": "road, lane markings",  # as the eleven classes have it: else the ground has holes
                "vegetation": "tree, other vegetation",
                "terrain": "road shoulder",
                "pedestrian": "person",
            },
        ),
    }
)
"""The built-in tables: `cityscapes` (train ids), `cityscapes_ids` (label ids), `ade20k` (150 classes from 0),
`ade20k_from_1` (0 unlabelled), `camvid` (11 and unlabelled), `camvid_32`."""


def label_table(name_or_file: str | Path) -> LabelTable:
    """A built-in table by name, else the table in a YAML file. Raises QumadeError when it is neither."""
    if isinstance(name_or_file, str) and name_or_file in LABEL_TABLES:
        return LABEL_TABLES[name_or_file]
    file = Path(name_or_file).absolute()
    if not file.is_file():
        raise ConfigError(f"Invalid label names: got {file}; must be one of {', '.join(LABEL_TABLES)} or a YAML file")
    return read_label_table(file)


def read_label_table(file: Path) -> LabelTable:
    """A user's table: YAML, `{0: road, 3: car}` or a list of names that starts at id 0.

    Raises QumadeError for anything else.
    """
    file = file.absolute()
    content = read_yaml(file, "label names")
    if isinstance(content, list):
        content = dict(enumerate(content))
    if not isinstance(content, dict) or not content:
        wanted = "a mapping of ids to names ({0: road, 1: car}) or a list of names"
        raise ConfigError(f"Invalid label names: got {shown(content)} in {file}; must be {wanted}")
    for i, name in content.items():
        if type(i) is not int or i < 0:
            raise ConfigError(f"Invalid label id: got {shown(i)} in {file}; must be a whole number from 0")
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(
                f"Invalid label name: got {shown(name)} for id {i} in {file}; must be text (in quotes if need be)"
            )
    return table_of_names({i: name.strip() for i, name in content.items()})


def resolve_ids(table: LabelTable, names: Iterable[str]) -> frozenset[int]:
    """The ids of classes given by name. Raises QumadeError for an unknown name, with the nearest known one."""
    ids: set[int] = set()
    for name in names:
        if name not in table:
            near = get_close_matches(name.lower(), table, 1, cutoff=0.5)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ConfigError(f"Invalid class name: got {name!r}{hint}; must be one of {', '.join(table)}")
        ids.update(table[name])
    return frozenset(ids)


def named_ids(table: LabelTable) -> frozenset[int]:
    """All ids that a table names."""
    return frozenset(i for ids in table.values() for i in ids)


def unnamed_ids(ids: NDArray[np.integer], named: Collection[int]) -> dict[int, float]:
    """The share of each id of a label map [H, W] that is not `named`, the largest first.

    Empty if they cover less than 0.1 % together. 255 and 65535 mean "no label" in every table.
    """
    values, counts = _counted(ids)
    strange = ~np.isin(values, [*named, *NO_LABEL])
    if counts[strange].sum() < UNNAMED_SHARE * counts.sum():
        return {}
    order = np.argsort(-counts[strange], kind="stable")
    shares = counts[strange][order] / counts.sum()
    return dict(zip(values[strange][order].tolist(), shares.tolist(), strict=True))


def fitting_tables(ids: Iterable[int]) -> list[str]:
    """The built-in tables that name all of these ids, the smallest first."""
    wanted = set(ids) - set(NO_LABEL)
    sizes = {name: len(named_ids(table)) for name, table in LABEL_TABLES.items()}
    return sorted((name for name in sizes if wanted <= named_ids(LABEL_TABLES[name])), key=sizes.__getitem__)


def unnamed_text(unnamed: Mapping[int, float], ids: NDArray[np.integer]) -> tuple[str, str]:
    """What a message says of ids without a name: the ids and their shares, and the tables that would fit the map."""
    shown = ", ".join(f"{i} ({share:.1%})" for i, share in list(unnamed.items())[:5])
    more = f" and {len(unnamed) - 5} more" if len(unnamed) > 5 else ""
    fits = fitting_tables(_counted(ids)[0].tolist())
    return f"ids {shown}{more}", f"; tables that name them: {', '.join(fits)}" if fits else ""


def _counted(ids: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """The ids of a map and the number of pixels of each."""
    if ids.size and ids.min() >= 0 and ids.max() < 1 << 16:
        counts = np.bincount(ids.ravel())
        values = np.flatnonzero(counts)
        return values, counts[values]
    values, counts = np.unique(ids, return_counts=True)
    return values, counts

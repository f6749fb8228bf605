"""Which id in a label map means what: built-in tables and a user's own."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from qumade.errors import ConfigError
from qumade.io.config import read_yaml, shown

__all__ = ["LABEL_TABLES", "LabelTable", "label_table", "read_label_table", "resolve_ids", "table_of_names"]

LabelTable = Mapping[str, tuple[int, ...]]
"""Ids of each name. A name may have several ids, an id several names (synonyms), or a name none at all: the classes
road, sidewalk, terrain, vegetation, building, person, car and sky are understood by every built-in table."""

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
# The eleven classes that most users of CamVid keep of its 32, in the order of the SegNet tutorial.
_CAMVID = "sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist, unlabelled"


def table_of_names(names: Mapping[int, str]) -> LabelTable:
    """The table of ids and their names, as a network's configuration or a file gives them."""
    table: dict[str, tuple[int, ...]] = {}
    for i in sorted(names):
        table[names[i]] = (*table.get(names[i], ()), i)
    return MappingProxyType(table)


def _built_in(names: str, synonyms: Mapping[str, str]) -> LabelTable:
    table = dict(table_of_names(dict(enumerate(names.split(", ")))))
    for synonym, meant in synonyms.items():
        table[synonym] = tuple(i for name in filter(None, meant.split(", ")) for i in table[name])
    return MappingProxyType(table)


LABEL_TABLES: Mapping[str, LabelTable] = MappingProxyType(
    {
        "cityscapes": MappingProxyType({**_built_in(_CITYSCAPES, {}), "unlabelled": (19, 255)}),
        "ade20k": _built_in(
            _ADE20K,
            {"terrain": "grass, earth, field, land, sand, dirt track", "vegetation": "tree, plant, palm, flower"},
        ),
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
    }
)
"""The built-in tables: `cityscapes` (train ids), `ade20k` (150 classes from 0), `camvid` (11 and unlabelled)."""


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

"""A contact sheet of a recipe's samples, before anything is generated."""

from PIL import Image

from qumade.assets.catalog import Catalog
from qumade.generate.worker import Drawer
from qumade.plan.indices import limited_indices, stem
from qumade.plan.planner import plan_samples
from qumade.plan.scale_check import check_scales
from qumade.recipe import Recipe
from qumade.viz.sheets import SheetRow, contact_sheet, depth_legend

__all__ = ["preview_recipe"]


def preview_recipe(recipe: Recipe, catalog: Catalog, count: int = 24) -> Image.Image:
    """The first `count` samples that a limit would take, as drawn: image, mask and layered depth."""
    check_scales(recipe, catalog)
    drawer = Drawer(recipe, catalog)
    indices = limited_indices(count, len(catalog.backgrounds), len(catalog.foregrounds), recipe.per_pair)
    plans = plan_samples(drawer.tables, catalog, indices)
    rows = []
    for n, index in enumerate(indices.tolist()):
        sample = drawer.draw(plans[n])
        names = ", ".join(catalog.foregrounds[thing["foreground"]].name for thing in plans[n].objects)
        depth = None if drawer.code is None else sample.inverse_depth
        rows.append(SheetRow(sample.image, sample.mask, depth, f"{stem(index, drawer.total)}  {names}"))
    title = f"{drawer.total:,} samples of {len(catalog.backgrounds)} backgrounds x {len(catalog.foregrounds)} cut-outs"
    if drawer.code is None:
        return contact_sheet(rows, title=title)
    span = drawer.code.range if isinstance(drawer.code.range, tuple) else None
    return contact_sheet(
        rows, title=title, legend=depth_legend(drawer.code.kind, drawer.code.source), inverse_depth_limits=span
    )

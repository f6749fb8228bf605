"""A contact sheet of a recipe's samples, before anything is generated."""

import numpy as np
from PIL import Image

from qumade.compose.boxes import visible_boxes
from qumade.synth.synthesizer import Synthesizer
from qumade.viz.sheets import SheetRow, SheetStyle, contact_sheet, depth_legend, with_objects

__all__ = ["preview_recipe"]


def preview_recipe(
    synthesizer: Synthesizer, count: int = 24, *, boxes: bool = False, style: SheetStyle | None = None
) -> Image.Image:
    """Draw a sheet of the samples that a limit of `count` selects: image, mask and layered depth; with `boxes` also the
    boxes of what is visible of each object."""
    indices = synthesizer.indices(count)
    plans = synthesizer.plan(indices)
    catalog, depth = synthesizer.catalog, synthesizer.depth_encoding
    class_number = np.array([foreground.class_number for foreground in catalog.foregrounds], np.int32)
    rows = []
    for n, index in enumerate(indices.tolist()):
        sample = synthesizer.render(plans[n])
        names = ", ".join(catalog.foregrounds[thing["foreground"]].name for thing in plans[n].objects)
        inverse_depth = None if depth is None else sample.inverse_depth
        row = SheetRow(sample.image, sample.mask, inverse_depth, f"{synthesizer.stem(index)}  {names}")
        if boxes or synthesizer.writes_instances:
            found = visible_boxes(sample.owner, len(sample.visible_fraction) if boxes else 0)
            row = with_objects(row, sample.owner, class_number[plans[n].objects["foreground"]], found)
        rows.append(row)
    counts = f"{len(catalog.backgrounds)} backgrounds x {len(catalog.foregrounds)} cut-outs"
    title = f"{len(synthesizer):,} samples of {counts}"
    if depth is None:
        return contact_sheet(rows, title=title, classes=catalog.classes, style=style)
    legend = depth_legend(depth.kind, depth.source)
    return contact_sheet(
        rows, title=title, legend=legend, inverse_depth_limits=depth.limits, classes=catalog.classes, style=style
    )

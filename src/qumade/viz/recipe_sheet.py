"""A contact sheet of a recipe's samples, before anything is generated."""

from PIL import Image

from qumade.synth.synthesizer import Synthesizer
from qumade.viz.sheets import SheetRow, contact_sheet, depth_legend

__all__ = ["preview_recipe"]


def preview_recipe(synthesizer: Synthesizer, count: int = 24) -> Image.Image:
    """Draw a sheet of the samples that a limit of `count` selects: image, mask and layered depth."""
    indices = synthesizer.indices(count)
    plans = synthesizer.plan(indices)
    catalog, depth = synthesizer.catalog, synthesizer.depth_encoding
    rows = []
    for n, index in enumerate(indices.tolist()):
        sample = synthesizer.render(plans[n])
        names = ", ".join(catalog.foregrounds[thing["foreground"]].name for thing in plans[n].objects)
        inverse_depth = None if depth is None else sample.inverse_depth
        rows.append(SheetRow(sample.image, sample.mask, inverse_depth, f"{synthesizer.stem(index)}  {names}"))
    counts = f"{len(catalog.backgrounds)} backgrounds x {len(catalog.foregrounds)} cut-outs"
    title = f"{len(synthesizer):,} samples of {counts}"
    if depth is None:
        return contact_sheet(rows, title=title)
    legend = depth_legend(depth.kind, depth.source)
    return contact_sheet(rows, title=title, legend=legend, inverse_depth_limits=depth.limits)

"""SVG over pictures: boxes, contacts, horizons. Only numbers go into it, never names."""

from collections.abc import Sequence

from qumade.studio.composing import Explained
from qumade.studio.pictures import OBJECT_COLOURS

__all__ = ["boxes", "horizon_line", "standing"]


def boxes(things: Sequence[Explained], size: tuple[int, int]) -> str:
    """Return the box and the contact of each object of a sample of this size (width, height), as SVG."""
    width = max(size) / 300
    parts = []
    for number, thing in enumerate(things):
        colour = "rgb({}, {}, {})".format(*OBJECT_COLOURS[number % len(OBJECT_COLOURS)])
        left, top, wide, high = thing.box
        u, v = thing.contact
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{high:.1f}" fill="none" '
            f'stroke="{colour}" stroke-width="{width:.2f}"/>'
            f'<circle cx="{u:.1f}" cy="{v:.1f}" r="{3 * width:.2f}" fill="{colour}" stroke="white" '
            f'stroke-width="{width / 2:.2f}"/>'
        )
    return "".join(parts)


def horizon_line(ends: tuple[float, float], size: tuple[int, int]) -> str:
    """Return the horizon as SVG: its rows at the left and at the right edge, as shares of the height."""
    width, height = size
    rows = [end * height for end in ends]
    shape = f'x1="0" y1="{rows[0]:.1f}" x2="{width}" y2="{rows[1]:.1f}"'
    return f'<line {shape} stroke="black" stroke-width="4"/><line {shape} stroke="rgb(255, 225, 0)" stroke-width="2"/>'


def standing(point: tuple[float, float], height: float, aspect: float, picture: str | None) -> str:
    """Return an upright object that stands at a point, as SVG: the picture at an address of the studio, or a frame.

    `height` is in pixels of the image, `aspect` width by height.
    """
    width = height * aspect
    place = f'x="{point[0] - width / 2:.1f}" y="{point[1] - height:.1f}" width="{width:.1f}" height="{height:.1f}"'
    frame = f'<rect {place} fill="none" stroke="rgb(86, 180, 233)" stroke-width="2"/>'
    return frame if picture is None else f'<image {place} href="{picture}" preserveAspectRatio="none"/>{frame}'

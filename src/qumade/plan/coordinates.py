"""Convert points between a sample and the photo it is cropped from. Compiled."""

from qumade.jit import compiled

__all__ = ["to_background", "to_sample"]


@compiled()
def to_background(t, sample, u, v):  # type: ignore[no-untyped-def]
    """Convert a point in sample pixels to pixels of the original photo."""
    if sample.flip:
        u = t.width - u
    return (u + sample.crop_x) / sample.scale_x, (v + sample.crop_y) / sample.scale_y


@compiled()
def to_sample(t, sample, u, v):  # type: ignore[no-untyped-def]
    """Convert a point in pixels of the original photo to sample pixels."""
    u, v = u * sample.scale_x - sample.crop_x, v * sample.scale_y - sample.crop_y
    return (t.width - u if sample.flip else u), v

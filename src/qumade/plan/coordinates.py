"""Points of a sample in pixels of the photo that it is cropped from, and back. Compiled."""

from qumade.jit import compiled

__all__ = ["to_background", "to_sample"]


@compiled()
def to_background(t, sample, u, v):  # type: ignore[no-untyped-def]
    """A point of the sample in pixels of the original background."""
    if sample.flip:
        u = t.width - u
    return (u + sample.crop_x) / sample.scale_x, (v + sample.crop_y) / sample.scale_y


@compiled()
def to_sample(t, sample, u, v):  # type: ignore[no-untyped-def]
    """A point of the original background in pixels of the sample."""
    u, v = u * sample.scale_x - sample.crop_x, v * sample.scale_y - sample.crop_y
    return (t.width - u if sample.flip else u), v

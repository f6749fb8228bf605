"""The settings of augmentation, without the libraries that carry it out: see `qumade.data.augment`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from qumade.io.config import Ascending

__all__ = ["Augmentation"]


Probability = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Shares = Annotated[tuple[Share, Share], Ascending]
Sigma = Annotated[float, Field(gt=0, le=16)]
Pixels = Annotated[tuple[Sigma, Sigma], Ascending]
Level = Annotated[int, Field(ge=1, le=100)]
Quality = Annotated[tuple[Level, Level], Ascending]


class Augmentation(BaseModel):
    """How samples are varied. Probabilities are of a sample; ranges are (low, high), drawn from evenly."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    crop: Shares = (0.8, 1.0)
    """Sides of the crop, as shares of the largest one of the batch's shape; anywhere, or in the middle for (1, 1).
    Inverse depth keeps its values: a crop acts like a longer focal length, so keep the range small for metric and
    scaled depth."""
    mirror: Probability = 0.5
    """Probability of a horizontal flip."""
    rotate: Probability = 0.3
    """Probability of a rotation."""
    rotate_deg: Annotated[float, Field(ge=0, le=45)] = 5.0
    """Largest angle in either direction, in degrees. Pixels from outside the image are unknown in mask and depth."""
    colour: Probability = 0.8
    """Probability of brightness, contrast, saturation and hue together."""
    brightness: Spread = 0.3
    """A random factor between 1 - this and 1 + this."""
    contrast: Spread = 0.3
    """A random factor, as for brightness."""
    saturation: Spread = 0.3
    """A random factor, as for brightness."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.03
    """Largest shift of the hue in either direction, as a share of the full circle."""
    grey: Probability = 0.05
    """Probability of a conversion to grey."""
    blur: Probability = 0.15
    """Probability of a Gaussian blur."""
    blur_px: Pixels = (0.3, 1.2)
    """Standard deviation of the Gaussian in pixels."""
    noise: Probability = 0.2
    """Probability of Gaussian noise."""
    noise_level: Shares = (0.005, 0.04)
    """Standard deviation of the noise, as a share of white."""
    jpeg: Probability = 0.2
    """Probability of JPEG compression."""
    jpeg_quality: Quality = (30, 90)
    """Quality of that compression."""

    @classmethod
    def none(cls) -> "Augmentation":
        """The one that changes nothing."""
        return cls(crop=(1.0, 1.0), mirror=0, rotate=0, colour=0, grey=0, blur=0, noise=0, jpeg=0)

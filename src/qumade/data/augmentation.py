"""The settings of augmentation. They import none of the libraries that `qumade.data.augment` needs."""

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
    """How samples are augmented. Probabilities are per sample; ranges are (low, high) and sampled uniformly."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    crop: Shares = (0.8, 1.0)
    """Side lengths of the crop, as a share of the largest crop with the aspect ratio of the batch. The crop may lie
    anywhere; (1, 1) takes the centre. Inverse depth keeps its values: a crop acts like a longer focal length, so keep
    the range small for metric and scaled depth."""
    mirror: Probability = 0.5
    """Probability of a horizontal flip."""
    rotate: Probability = 0.3
    """Probability of a rotation."""
    rotate_deg: Annotated[float, Field(ge=0, le=45)] = 5.0
    """Largest rotation in either direction, in degrees. Pixels from outside the image are unknown in mask and depth."""
    colour: Probability = 0.8
    """Probability of a change of brightness, contrast, saturation and hue."""
    brightness: Spread = 0.3
    """Brightness is multiplied by a random factor between 1 - this and 1 + this."""
    contrast: Spread = 0.3
    """Contrast is multiplied by a random factor between 1 - this and 1 + this."""
    saturation: Spread = 0.3
    """Saturation is multiplied by a random factor between 1 - this and 1 + this."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.03
    """Largest shift of the hue in either direction, as a share of the colour circle."""
    grey: Probability = 0.05
    """Probability of conversion to greyscale."""
    blur: Probability = 0.15
    """Probability of a Gaussian blur."""
    blur_px: Pixels = (0.3, 1.2)
    """Standard deviation of the Gaussian blur, in pixels."""
    noise: Probability = 0.2
    """Probability of Gaussian noise."""
    noise_level: Shares = (0.005, 0.04)
    """Standard deviation of the noise, as a share of white."""
    jpeg: Probability = 0.2
    """Probability of JPEG compression."""
    jpeg_quality: Quality = (30, 90)
    """JPEG quality."""

    @classmethod
    def none(cls) -> "Augmentation":
        """Return the settings that change nothing."""
        return cls(crop=(1.0, 1.0), mirror=0, rotate=0, colour=0, grey=0, blur=0, noise=0, jpeg=0)

"""The settings of effects: what is drawn on a composite beside the objects, and how the picture is taken."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from qumade.io.config import Ascending

__all__ = ["PRESETS", "Blend", "Effects", "EffectsField"]

Blend = Literal["alpha", "hard", "feather", "soften"]

Number = Annotated[int, Field(ge=0, le=16)]
Numbers = Annotated[tuple[Number, Number], Ascending]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Strengths = Annotated[tuple[Probability, Probability], Ascending]
Scale = Annotated[float, Field(gt=0.0, le=4.0)]
Scales = Annotated[tuple[Scale, Scale], Ascending]
Sigma = Annotated[float, Field(ge=0.0, le=16.0)]
Pixels = Annotated[tuple[Sigma, Sigma], Ascending]
Degree = Annotated[float, Field(ge=5.0, le=90.0)]
Degrees = Annotated[tuple[Degree, Degree], Ascending]
Density = Annotated[float, Field(ge=0.0, le=10.0)]
Densities = Annotated[tuple[Density, Density], Ascending]
Stop = Annotated[float, Field(ge=-4.0, le=4.0)]
Stops = Annotated[tuple[Stop, Stop], Ascending]
Level = Annotated[int, Field(ge=1, le=100)]
Quality = Annotated[tuple[Level, Level], Ascending]


class Effects(BaseModel):
    """Effects on composites. Ranges are (low, high) and sampled uniformly. The defaults change nothing.

    Only cut-outs of `distractor_foregrounds` change a label: they have a depth of their own, and no mask. All other
    effects change the image alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    distractors: Numbers = (0, 0)
    """Number of things per sample that are pasted but are not the object. Each is a patch of the photo in the shape of
    a cut-out, a shadow without an object (with `shadow` above 0), or a cut-out of `distractor_foregrounds` (if given).
    Objects are drawn over them."""
    distractor_scale: Scales = (0.06, 0.3)
    """Square root of (box area of a distractor / image area)."""
    blend: Annotated[tuple[Blend, ...], Field(min_length=1)] = ("alpha",)
    """Edges of pasted things; one is drawn for each. alpha: the cut-out's own; hard: no pixel is mixed; feather: fades
    towards the inside, but for parts that are thinner than the edge; soften: blurred. The mask is always that of
    alpha."""
    feather_px: Pixels = (1.0, 3.0)
    """Width of a feathered edge, in pixels."""
    soften_px: Pixels = (0.5, 1.2)
    """Standard deviation of the blur of a softened edge, in pixels."""
    shadow: Probability = 0.0
    """Probability that an object casts a shadow on the ground. The sun is the same for all shadows of a sample."""
    shadow_strength: Strengths = (0.25, 0.65)
    """Share of the light that a shadow takes away."""
    shadow_softness: Strengths = (0.04, 0.15)
    """Width of the edge of a shadow, as a share of the object's size."""
    sun_deg: Degrees = (15.0, 75.0)
    """Height of the sun above the horizon, in degrees."""
    harmonise: Strengths = (0.0, 0.0)
    """How far mean, contrast and colour of an object are moved to those of the photo around its contact, and how far it
    is blurred to the photo's sharpness: 0 not at all, 1 completely."""
    often: Probability = 1.0
    """Probability of harmonising an object; and, for each sample, of haze, of blur, of the vignette, of a change of
    exposure and gamma, of noise and of compression."""
    haze: Densities = (0.0, 0.0)
    """Density of haze: its share at distance d is 1 - exp(-density d), with d in multiples of the distance at the lower
    edge of the sample."""
    haze_far: Annotated[float, Field(gt=0.0, le=1000.0)] = 10.0
    """Distance, in the same unit, beyond which haze grows no denser: that of the sky and, without depth maps, of all
    above the horizon."""
    haze_light: Strengths = (0.7, 0.95)
    """Brightness of the haze, as a share of white."""
    blur_px: Pixels = (0.0, 0.0)
    """Standard deviation of a Gaussian blur of the whole picture, in pixels."""
    vignette: Strengths = (0.0, 0.0)
    """Share of the brightness that the corners of the picture lose; the centre loses none."""
    exposure: Stops = (0.0, 0.0)
    """Change of the exposure of the whole picture, in stops: 1 doubles the light."""
    gamma: Stops = (0.0, 0.0)
    """Change of gamma of the whole picture: a value v in [0, 1] becomes v^(2^x), x being this change."""
    noise: Strengths = (0.0, 0.0)
    """Standard deviation of noise in the whole picture, as a share of white."""
    jpeg_quality: Quality | None = None
    """Quality of a JPEG compression of the whole picture, before the dataset's own encoding."""

    @classmethod
    def none(cls) -> "Effects":
        """Return the settings that change nothing."""
        return cls()

    @classmethod
    def all(cls) -> "Effects":
        """Return all effects with ranges that look plausible on photos of streets."""
        return cls(
            distractors=(0, 3),
            blend=("alpha", "hard", "feather", "soften"),
            shadow=0.7,
            harmonise=(0.0, 0.35),
            often=0.5,
            haze=(0.0, 0.05),
            blur_px=(0.0, 0.8),
            vignette=(0.0, 0.3),
            exposure=(-0.5, 0.4),
            gamma=(-0.25, 0.25),
            noise=(0.0, 0.025),
            jpeg_quality=(50, 95),
        )

    @property
    def on(self) -> bool:
        """Whether any effect may change a sample."""
        return self != Effects(**{name: getattr(self, name) for name in _DETAILS})


_DETAILS = (
    "distractor_scale", "feather_px", "soften_px", "shadow_strength", "shadow_softness", "sun_deg", "often", "haze_far",
    "haze_light",
)  # fmt: skip
"""Fields that change nothing on their own."""

PRESETS = {"none": Effects.none, "all": Effects.all}


def _preset(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in PRESETS:
        raise ValueError(f"{' or '.join(PRESETS)}, or a mapping of fields")
    return PRESETS[value]()


EffectsField = Annotated[Effects, BeforeValidator(_preset)]
"""Effects, or the name of a preset: all or none."""

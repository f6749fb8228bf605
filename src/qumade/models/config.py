"""The config of a network, without torch: predicting from an .onnx file reads it too."""

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StrictStr,
    model_serializer,
    model_validator,
)

from qumade.depth.encoding import DepthKind
from qumade.io.config import wrong_field

__all__ = ["RANDOM_ENCODER", "SLIM_ENCODER", "TASKS", "ModelName", "NetworkConfig", "Task"]

ModelName = Literal["tiny", "small", "base"]
Task = Literal["mask", "depth"]
SLIM_ENCODER = "slim_resnet18d"
"""The encoder of tiny where there are no pretrained weights: a ResNet-18 with few channels."""
RANDOM_ENCODER: dict[ModelName, str] = {"tiny": SLIM_ENCODER, "small": "resnet34d", "base": "convnext_tiny"}
"""The encoder of each model that is trained from random weights."""
TASKS: tuple[Task, ...] = get_args(Task)
Channel = Annotated[float, Field(ge=0.0, le=1.0)]
Spread = Annotated[float, Field(gt=0.0, le=1.0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Side = Annotated[int, Field(ge=1, le=16384)]
ClassNames = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=254)]


class NetworkConfig(BaseModel):
    """Everything needed to rebuild a network, except its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelName = "tiny"
    encoder: str = Field(default_factory=lambda values: RANDOM_ENCODER[values.get("model", "tiny")])
    """Name of the encoder in timm, or `SLIM_ENCODER`."""
    mean: tuple[Channel, Channel, Channel] = (0.485, 0.456, 0.406)
    """Mean of R, G, B of the training images in [0, 1]; the default is ImageNet's."""
    std: tuple[Spread, Spread, Spread] = (0.229, 0.224, 0.225)
    inverse_depth_limits: tuple[Finite, Finite] = (0.0, 1.0)
    """Range of predicted inverse depth (far, near)."""
    depth_kind: DepthKind | None = None
    depth_sources: tuple[StrictStr, ...] = ()
    """What the depth of its training data came from, as dataset.yaml states it: prior, depths, composite, dataset."""
    size: tuple[Side, Side] = (224, 224)
    """Width and height at which it was trained."""
    trained_tasks: Annotated[tuple[Task, ...], Field(min_length=1)] = TASKS
    """Tasks whose labels the training data had. The network's output for the other one is meaningless."""
    classes: ClassNames = ()
    """Classes that the mask tells apart, in the order of its channels; none for objects of one class."""

    @property
    def mask_channels(self) -> int:
        """The number of channels of the mask: one for each class."""
        return max(1, len(self.classes))

    @model_serializer(mode="wrap")
    def _without_defaults(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = whole(self)
        for name in ("classes", "depth_sources"):  # weights without them keep their bytes
            if not values[name]:
                del values[name]
        return values

    @model_validator(mode="after")
    def _consistent(self) -> "NetworkConfig":
        if self.inverse_depth_limits[0] >= self.inverse_depth_limits[1]:
            raise wrong_field("inverse_depth_limits", "far and near inverse depth, far below near")
        if len(self.classes) == 1 or len(set(self.classes)) < len(self.classes):
            raise wrong_field("classes", "none, or at least two different names")
        return self

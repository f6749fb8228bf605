"""Depth of composites as the original made it: a teacher looks at every finished image.

The teacher sees only the finished image, so shadows, pasted edges and the mistakes of the network end up in the
labels. Equal bytes are promised by no network; what is written stays, and a dataset records the network's hash.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.data.encode import encode_depth_file
from qumade.depth.encoding import DepthEncoding
from qumade.errors import ConfigError, RunError
from qumade.generation.journal import Results
from qumade.generation.worker import Stopped
from qumade.generation.writers import FolderWriter
from qumade.io.decode import decode_rgb
from qumade.io.pictures import read_picture
from qumade.recipe import Recipe
from qumade.synth.choose_encoding import predicted_encoding
from qumade.synth.synthesizer import Synthesizer
from qumade.teachers.depth import DepthTeacher, depth_teacher

__all__ = ["TeacherDepth", "teacher_depth"]

_STEP_BATCHES = 4  # read and encoded at a time


@dataclass(frozen=True)
class TeacherDepth:
    """The depth predictor of a recipe with `depth: composite`: a teacher, and how its depth is encoded."""

    teacher: DepthTeacher
    encoding: DepthEncoding

    def work(self, synthesizer: Synthesizer, root: Path, suffixes: Mapping[str, str]) -> "PredictDepth":
        """The work that `generate` runs once the images are there."""
        return PredictDepth(self, synthesizer, root, dict(suffixes))


def teacher_depth(recipe: Recipe, *, download: bool = False) -> TeacherDepth:
    """The depth predictor of a recipe with `depth: composite`, by its `depth_teacher`.

    Metric depth is written over the recipe's range, affine depth over each picture's own. Raises QumadeError where the
    model cannot be used.
    """
    if recipe.depth_teacher is None:
        raise ConfigError(
            f"Invalid depth: got {recipe.depth!r} in the recipe; must be 'composite' with a depth_teacher"
        )
    teacher = depth_teacher(recipe.depth_teacher, download=download)
    return TeacherDepth(teacher, predicted_encoding(recipe, teacher.kind, teacher.fingerprint))


@dataclass
class PredictDepth:
    """Reads drawn images and writes their predicted depth, in this process: the network has the machine's cores or its
    GPU. Raises QumadeError for an image that cannot be read and for a prediction that is not finite."""

    depth: TeacherDepth
    synthesizer: Synthesizer
    root: Path
    suffixes: dict[str, str]
    objects: int = 0  # it sees images, not the objects in them
    writer: FolderWriter = field(init=False)

    def __post_init__(self) -> None:
        self.writer = FolderWriter(self.root, {"depth": self.suffixes["depth"]})

    def open(self) -> None:
        self.writer.open()

    def close(self) -> None:
        self.writer.close()

    def __call__(self, indices: NDArray[np.int64], stopped: Callable[[], bool]) -> Results:
        teacher, recipe = self.depth.teacher, self.synthesizer.recipe
        step = teacher.batch_size * _STEP_BATCHES
        results = Results.empty(len(indices), self.objects)
        results.indices[:] = indices
        stems = [self.synthesizer.stem(index) for index in indices.tolist()]
        for start in range(0, len(stems), step):
            if stopped():
                raise Stopped
            paths = [self.root / "images" / (name + self.suffixes["images"]) for name in stems[start : start + step]]
            images = [np.require(decode_rgb(read_picture(path), path), requirements="W") for path in paths]
            for n, inverse_depth in enumerate(teacher.predict(images, teacher.batch_size)):
                _require_finite(inverse_depth, paths[n], recipe.depth_teacher)
                encoded = encode_depth_file(inverse_depth, self.depth.encoding, recipe.encoding)
                self.writer.write(stems[start + n], encoded)
                results.depth_clipped_px[start + n] = encoded.depth_clipped_px
        return results


def _require_finite(inverse_depth: NDArray[np.float32], path: Path, model: str | Path | None) -> None:
    if not np.isfinite(inverse_depth).all():
        raise RunError(
            f"Invalid prediction: got non-finite values from {model} for {path}; must be finite inverse depth"
        )

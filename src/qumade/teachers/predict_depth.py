"""Depth of composites as the original made it: a teacher looks at every finished image.

Nothing of how a picture was composed is used, so that shadows, pasted edges and the network's mistakes end up in the
labels. Equal bytes are promised by no network; what is written stays, and a dataset records the network's hash.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.data.encode import composite_depth_code, encode_depth
from qumade.errors import QumadeError
from qumade.generate.engine import CompositeDepth
from qumade.generate.journal import Results
from qumade.generate.worker import Job
from qumade.generate.writers import FolderWriter
from qumade.io.decode import decode_rgb
from qumade.io.pictures import read_picture
from qumade.plan.indices import sample_count, stem
from qumade.recipe import Recipe
from qumade.teachers.depth import depth_teacher

__all__ = ["composite_depth"]

_STEP_BATCHES = 4  # read and encoded at a time


def composite_depth(recipe: Recipe, *, download: bool = False) -> CompositeDepth:
    """What predicts the depth of a recipe with `depth: composite`, by its `depth_teacher`.

    Metric depth is written over the recipe's range, affine depth over each picture's own. Raises QumadeError where the
    model cannot be used; while it runs, for an image that cannot be read and a prediction that is no number.
    """
    if recipe.depth_teacher is None:
        raise QumadeError(
            f"Invalid depth: got {recipe.depth!r} in the recipe; must be 'composite' with a depth_teacher"
        )
    teacher = depth_teacher(recipe.depth_teacher, download=download)
    code = composite_depth_code(recipe, teacher.kind, teacher.fingerprint)

    def run(job: Job, chunks: Iterable[NDArray[np.int64]], workers: int) -> Iterator[Results]:
        """Predicts in this process, whatever `workers` says: the network has the machine's cores or its GPU."""
        total = sample_count(len(job.catalog.backgrounds), len(job.catalog.foregrounds), job.recipe.per_pair)
        step = teacher.batch_size * _STEP_BATCHES
        with FolderWriter(job.root, {"depth": job.suffixes["depth"]}) as writer:
            for chunk in chunks:
                results = Results.empty(len(chunk), job.recipe.objects[1])
                results.indices[:] = chunk
                stems = [stem(index, total) for index in chunk.tolist()]
                for start in range(0, len(stems), step):
                    paths = [
                        job.root / "images" / (name + job.suffixes["images"]) for name in stems[start : start + step]
                    ]
                    images = [np.require(decode_rgb(read_picture(path), path), requirements="W") for path in paths]
                    for n, inverse_depth in enumerate(teacher.predict(images, teacher.batch_size)):
                        _require_finite(inverse_depth, paths[n], recipe.depth_teacher)
                        encoded = encode_depth(inverse_depth, code, job.recipe.encoding)
                        writer.write(stems[start + n], encoded)
                        results.depth_clipped_px[start + n] = encoded.depth_clipped_px
                yield results

    return CompositeDepth(code, run)


def _require_finite(inverse_depth: NDArray[np.float32], path: Path, model: str | Path | None) -> None:
    if not np.isfinite(inverse_depth).all():
        raise QumadeError(f"Invalid prediction: got no number from {model} for {path}; must be finite inverse depth")

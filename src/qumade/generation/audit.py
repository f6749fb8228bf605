"""Audits a dataset: are all files present and complete, and do the samples match the recipe?"""

import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from qumade.data.encode import encode_sample, folder_settings
from qumade.data.manifest import MANIFEST, MANIFEST_SCHEMA, manifest_table, plans_from_manifest, read_manifest
from qumade.data.metadata import METADATA, Metadata, begun_metadata, read_metadata
from qumade.errors import ConfigError, DatasetError
from qumade.generation.describe import describe
from qumade.io.decode import PNG_END, decode_grey, decode_rgb
from qumade.io.pictures import UnusablePicture
from qumade.io.progress import progress_bar
from qumade.plan.indices import stratified_indices
from qumade.recipe import recipe_from_dict
from qumade.synth.synthesizer import Synthesizer

__all__ = ["Audit", "Problem", "audit"]

_JPEG_END = b"\xff\xd9"
_LEVELS = 2  # how far decoded pixels may differ between two versions of a codec
_BATCH = 256


@dataclass(frozen=True)
class Problem:
    """One problem of a dataset: the stem of the sample, the path of the file, and what is wrong with it."""

    stem: str
    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.stem}: {self.path}: {self.problem}"


@dataclass(frozen=True)
class Audit:
    """The result of an audit. `same_codecs`: bytes were compared, otherwise decoded pixels. `depth_compared`: depth/
    was compared too, which is skipped for depth that was predicted from the composites."""

    root: Path
    samples: int
    files: int
    redrawn: int
    same_codecs: bool
    depth_compared: bool
    problems: tuple[Problem, ...]


def audit(root: Path, *, fraction: float = 0.01, progress: bool = True) -> Audit:
    """Finds missing, empty, truncated and unexpected files; redraws a `fraction` of the samples from the manifest and
    compares them. `fraction` is from 0 to 1; above 0, at least one sample is redrawn.

    Redrawn files must be equal byte by byte; if the codec has another version than the recorded one, decoded pixels
    must agree within 2 levels. Depth that was predicted from the composites is checked for missing and truncated files
    but not compared: networks do not guarantee equal bytes.
    Raises QumadeError if `root` is not a finished dataset of this package, or if its assets have changed.
    """
    root = Path(os.path.abspath(root))
    if not 0 <= fraction <= 1:
        raise ConfigError(f"Invalid fraction: got {fraction}; must be between 0 and 1")
    meta = _finished(root)
    suffixes = {folder: code.suffix for folder, code in (meta.folders or {}).items()}
    manifest = _read_rows(root)
    stems = manifest["stem"].to_pylist()
    problems = list(_files(root, suffixes, stems, progress))
    if meta.samples != len(stems):
        problems.append(Problem("-", str(root / MANIFEST), f"has {len(stems)} rows; must have {meta.samples}"))
    broken = {problem.stem for problem in problems}
    rows = stratified_indices(len(stems), math.ceil(len(stems) * fraction)).tolist()
    chosen = [row for row in rows if stems[row] not in broken]
    same_codecs = True
    if chosen:
        synthesizer, same_codecs = _synthesizer(root, meta)
        bar = progress_bar(total=len(chosen), desc="redrawn", unit="sample", disable=not progress, leave=False)
        for at in range(0, len(chosen), _BATCH):
            batch = manifest.take(chosen[at : at + _BATCH])
            problems += _redraw(root, synthesizer, suffixes, batch, same_codecs)
            bar.update(len(batch))
        bar.close()
    depth_compared = meta.depth is None or meta.depth.teacher_sha256 is None
    files = len(stems) * len(suffixes)
    return Audit(root, len(stems), files, len(chosen), same_codecs, depth_compared, tuple(problems))


def _finished(root: Path) -> Metadata:
    path = root / METADATA
    if not path.exists():
        raise DatasetError(f"Invalid dataset: got no {path}; must be a dataset that `qumade generate` made")
    meta = read_metadata(path)
    if not meta.complete:
        raise DatasetError(
            f"Invalid dataset: got complete: false in {path}; finish it with the command that started it"
        )
    if not meta.folders or not meta.recipe:
        raise DatasetError(f"Invalid dataset: got no recipe or no folders in {path}; must have both to be audited")
    return meta


def _read_rows(root: Path) -> pa.Table:
    path = root / MANIFEST
    groups = list(read_manifest(path))
    table = pa.concat_tables(groups) if groups else MANIFEST_SCHEMA.empty_table()
    if not table.schema.equals(MANIFEST_SCHEMA):
        raise DatasetError(f"Invalid manifest: {path} has other columns; must have those that this version writes")
    return table.unify_dictionaries()


def _files(root: Path, suffixes: Mapping[str, str], stems: list[str], progress: bool) -> Iterator[Problem]:
    """Yields missing, empty, truncated and unexpected files. A truncated file lacks the end marker of its format."""
    for folder, suffix in suffixes.items():
        names = {stem + suffix for stem in stems}
        try:
            there = {entry.name for entry in os.scandir(root / folder)}
        except OSError as error:
            yield Problem("-", str(root / folder), f"cannot be listed: {error.strerror}")
            continue
        for name in sorted(names - there):
            yield Problem(name.removesuffix(suffix), str(root / folder / name), "is missing")
        for name in sorted(there - names):
            yield Problem(Path(name).stem, str(root / folder / name), "belongs to no sample of the manifest")
        present = [root / folder / name for name in sorted(names & there)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(_file_problem, present, chunksize=_BATCH)
            bar = progress_bar(found, folder, len(present), unit="file", disable=not progress, leave=False)
            for path, problem in zip(present, bar, strict=True):
                if problem is not None:
                    yield Problem(path.stem, str(path), problem)


def _file_problem(path: Path) -> str | None:
    end = PNG_END if path.suffix == ".png" else _JPEG_END
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                return "is empty"
            file.seek(max(0, size - len(end)))
            return None if file.read(len(end)) == end else "is truncated: it lacks the end marker of its format"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _synthesizer(root: Path, meta: Metadata) -> tuple[Synthesizer, bool]:
    """Returns a synthesizer of the dataset's recipe, and whether the codecs are those that wrote the dataset."""
    recipe = recipe_from_dict(dict(meta.recipe), str(root / METADATA), root)
    synthesizer = Synthesizer.from_recipe(recipe)
    depth = synthesizer.depth_encoding or meta.depth
    if depth is None:
        raise DatasetError(f"Invalid dataset.yaml: key depth is missing in {root / METADATA}; must be given")
    expected = describe(synthesizer, root, meta.samples or 0, depth)
    before = {folder: settings.model_dump() for folder, settings in (meta.folders or {}).items()}
    # Versions may differ here, unlike when a dataset is resumed; recipe and assets may not.
    expected["package"], expected["folders"] = dict(meta.package), before
    begun_metadata(root, expected, "qumade generate")
    return synthesizer, before == folder_settings(recipe)


def _redraw(
    root: Path, synthesizer: Synthesizer, suffixes: Mapping[str, str], rows: pa.Table, same_codecs: bool
) -> Iterator[Problem]:
    recipe, depth = synthesizer.recipe, synthesizer.depth_encoding
    plans = plans_from_manifest(synthesizer, rows)
    stems, clipped = rows["stem"].to_pylist(), rows["depth_clipped_px"].to_pylist()
    visible = np.full((len(rows), recipe.objects[1]), np.nan, np.float32)
    for n, stem in enumerate(stems):
        sample = synthesizer.render(plans[n])
        encoded = encode_sample(sample, depth, recipe.encoding)
        for folder, redrawn in encoded.files.items():
            path = root / folder / f"{stem}{suffixes[folder]}"
            problem = _difference(path, redrawn, same_codecs)
            if problem is not None:
                yield Problem(stem, str(path), problem)
        visible[n, : len(sample.visible_fraction)] = sample.visible_fraction
        if depth is not None:
            clipped[n] = encoded.depth_clipped_px
    planned = synthesizer.plan(rows["index"].to_numpy())
    again = manifest_table(synthesizer, planned, visible, np.array(clipped, np.int32))
    for stem, row, redrawn_row in zip(stems, rows.to_pylist(), again.to_pylist(), strict=True):
        if row != redrawn_row:
            yield Problem(stem, str(root / MANIFEST), "its row differs from the sample drawn again")


def _difference(path: Path, redrawn: bytes, same_codecs: bool) -> str | None:
    try:
        stored = path.read_bytes()
        if stored == redrawn:
            return None
        if same_codecs:
            return "differs from the sample drawn again"
        decode = decode_rgb if path.parent.name == "images" else decode_grey
        ours, theirs = decode(redrawn, path).astype(np.int64), decode(stored, path).astype(np.int64)
    except (OSError, UnusablePicture) as error:
        return f"cannot be compared: {error}"
    if ours.shape != theirs.shape:
        return f"has {theirs.shape[1]}x{theirs.shape[0]} pixels; must have {ours.shape[1]}x{ours.shape[0]}"
    furthest = int(np.abs(ours - theirs).max())
    if furthest <= _LEVELS:
        return None
    return f"differs by {furthest} levels from the sample drawn again; must be at most {_LEVELS}"

"""Kinds and sources of depth in words, as commands and reports say them."""

from collections.abc import Sequence

from qumade.depth.encoding import DepthEncoding, DepthKind

__all__ = ["KIND_WORDS", "depth_in_words", "learned_from", "prior_note", "truth_note"]

KIND_WORDS: dict[DepthKind | None, str] = {
    "metric": "metric",
    "scaled": "scaled (true up to one factor)",
    "affine": "affine (true up to factor and shift)",
    None: "of unknown kind",
}
SOURCE_WORDS = {
    "prior": "a prior from the horizon (and label maps, if there are any), not measured",
    "depths": "depth maps of the backgrounds, composed in layers with the objects",
    "composite": "what a pretrained network predicts of each composed image",
    "dataset": "the imported dataset",
}
MEND = "Depth maps of the backgrounds give better depth: --depths DIR, or --depth-teacher auto --download"


def depth_in_words(encoding: DepthEncoding) -> str:
    """Return kind and source of a dataset's depth."""
    source = encoding.source and SOURCE_WORDS.get(encoding.source, encoding.source)
    return f"{KIND_WORDS[encoding.kind]}, from {source or 'a source that is not stated'}"


def prior_note(encoding: DepthEncoding | None) -> str:
    """Return what to know of depth that is a prior, and how to get better one; "" for any other depth."""
    if encoding is None or encoding.source != "prior":
        return ""
    return f"Depth is {SOURCE_WORDS['prior']}. {MEND}"


def truth_note(encoding: DepthEncoding | None) -> str:
    """Return what scores against depth that is a prior say; "" for any other depth."""
    if encoding is None or encoding.source != "prior":
        return ""
    return "The true depth of this dataset is a prior: scores of depth say how well a network repeats it, no more"


def learned_from(sources: Sequence[str]) -> str:
    """Return what a network learned its depth from, given the sources of its training data; "" if none is known."""
    known = [SOURCE_WORDS[source] for source in sources if source in SOURCE_WORDS]
    return f"learned from {' and from '.join(known)}" if known else ""

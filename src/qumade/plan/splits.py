"""Split into train, val and test by identity: no cut-out and no photo, nor a near-duplicate, appears in two splits."""

from collections.abc import Mapping, Sequence

from qumade.plan.random_numbers import Stream, uniforms

__all__ = ["FEW", "SAMPLE_SPLITS", "SPLITS", "assign_splits", "few_samples", "sample_split"]

SPLITS = ("train", "val", "test")
SAMPLE_SPLITS = (*SPLITS, "seen background", "seen foreground", "mixed", None)
FEW = 50  # samples of a split, below which a mean says little: its standard error is a seventh of the spread


def assign_splits(
    identities: Sequence[int], shares: tuple[float, float, float], seed: int, stream: Stream
) -> list[str]:
    """Return the split of each asset, given its identity.

    Every split with a share above 0 gets at least one identity, and the largest split absorbs the difference. If there
    are fewer identities than such splits, the last of train, val, test get none.
    """
    unique = sorted(set(identities))
    wanted = [number for number, share in enumerate(shares) if share > 0][: len(unique)]
    shuffled = sorted(unique, key=lambda identity: uniforms(seed, int(stream), identity, 0, 0))
    counts = [max(round(share * len(unique)), 1) if n in wanted else 0 for n, share in enumerate(shares)]
    counts[counts.index(max(counts))] += len(unique) - sum(counts)
    names = [name for name, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    split_of = dict(zip(shuffled, names, strict=True))
    return [split_of[identity] for identity in identities]


def few_samples(counts: Mapping[str, int]) -> str:
    """Return a warning that names the splits with fewer than FEW samples, but at least one; "" without such splits."""
    few = [f"{count:,} of {name}" for name, count in counts.items() if 0 < count < FEW]
    if not few:
        return ""
    return (
        f"Few samples: {', '.join(few)}. Scores of fewer than {FEW} samples are uncertain: a larger limit, per_pair or "
        "split, or more photos and cut-outs give more"
    )


def sample_split(background: str | None, foreground: str | None) -> str | None:
    """Return the quadrant of a sample, given the splits of its background and its cut-outs.

    "train", "val" or "test" if both are in that split. Otherwise "seen background" or "seen foreground" if one of them
    is in train, "mixed" for val with test, and None if either has no split.
    """
    if background is None or foreground is None:
        return None
    if background == foreground:
        return background
    if background == "train":
        return "seen background"
    return "seen foreground" if foreground == "train" else "mixed"

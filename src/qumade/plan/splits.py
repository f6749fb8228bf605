"""Split into train, val and test by identity: no cut-out and no photo, nor a near-duplicate, appears in two splits."""

from collections.abc import Sequence

from qumade.errors import ConfigError
from qumade.plan.random_numbers import Stream, uniforms

__all__ = ["SAMPLE_SPLITS", "SPLITS", "assign_splits", "sample_split"]

SPLITS = ("train", "val", "test")
SAMPLE_SPLITS = (*SPLITS, "seen background", "seen foreground", "mixed", None)


def assign_splits(
    identities: Sequence[int], shares: tuple[float, float, float], seed: int, stream: Stream, what: str
) -> list[str]:
    """Return the split of each asset, given its identity; `what` names the assets in messages.

    Every split with a share above 0 gets at least one identity. Raises QumadeError if there are too few identities.
    """
    unique = sorted(set(identities))
    wanted = sum(share > 0 for share in shares)
    if len(unique) < wanted:
        raise ConfigError(
            f"Invalid split: got {len(unique)} {what} identities for {wanted} splits; must be at least {wanted}"
        )
    shuffled = sorted(unique, key=lambda identity: uniforms(seed, int(stream), identity, 0, 0))
    counts = [max(round(share * len(unique)), int(share > 0)) for share in shares]
    # Small shares are rounded up to one identity; the largest split absorbs the difference.
    counts[counts.index(max(counts))] += len(unique) - sum(counts)
    names = [name for name, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    split_of = dict(zip(shuffled, names, strict=True))
    return [split_of[identity] for identity in identities]


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

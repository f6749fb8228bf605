"""Train, val and test by identity: the same car or road is never in two of them."""

from collections.abc import Sequence

from qumade.errors import QumadeError
from qumade.plan.random_numbers import Stream, uniforms

__all__ = ["SAMPLE_SPLITS", "SPLITS", "assign_splits", "sample_split"]

SPLITS = ("train", "val", "test")
SAMPLE_SPLITS = (*SPLITS, "seen background", "seen foreground", "mixed", None)


def assign_splits(
    identities: Sequence[int], shares: tuple[float, float, float], seed: int, stream: Stream, what: str
) -> list[str]:
    """The split of each asset, given the identity of each; `what` names the assets in messages.

    Every split with a share above 0 gets at least one identity. Raises QumadeError with too few of them.
    """
    unique = sorted(set(identities))
    wanted = sum(share > 0 for share in shares)
    if len(unique) < wanted:
        raise QumadeError(
            f"Invalid split: got {len(unique)} {what} identities for {wanted} parts; must be at least {wanted}"
        )
    shuffled = sorted(unique, key=lambda identity: uniforms(seed, int(stream), identity, 0, 0))
    counts = [max(round(share * len(unique)), int(share > 0)) for share in shares]
    # Rounding up small parts takes from the largest, so that the parts add up.
    counts[counts.index(max(counts))] += len(unique) - sum(counts)
    names = [name for name, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    split_of = dict(zip(shuffled, names, strict=True))
    return [split_of[identity] for identity in identities]


def sample_split(background: str | None, foreground: str | None) -> str | None:
    """The quadrant of a sample.

    "train", and "val" and "test" proper, where neither its background nor its cut-outs are in any other part; else
    which side was seen in training: "seen background" or "seen foreground"; "mixed" for val with test.
    """
    if background is None or foreground is None:
        return None
    if background == foreground:
        return background
    if background == "train":
        return "seen background"
    return "seen foreground" if foreground == "train" else "mixed"

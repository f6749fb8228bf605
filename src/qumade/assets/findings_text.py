"""Findings about asset folders as a few lines of text, however many files they are about."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from qumade.assets.scan import Finding, Kind
from qumade.io.listing import counted

__all__ = ["by_reason", "left_out_line", "lines_of_group", "short_findings"]

_MOST_LINES = 5  # of one reason: more files share a line
_MOST_NAMES = 5  # in one line
_WIDTH = 120


def left_out_line(kind: Kind, used: int, findings: Iterable[Finding]) -> str:
    """Return how many files of a kind are used, and how many are left out for which reasons; "" if none is left out."""
    reasons = Counter(found.reason for found in findings if (found.kind, found.severity) == (kind, "error"))
    out = sum(reasons.values())
    if not out:
        return ""
    why = ", ".join(
        f"{count:,} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    )
    return f"{used:,} of {used + out:,} {kind}s used, {out:,} left out: {why}"


def short_findings(findings: Iterable[Finding]) -> list[str]:
    """Return a line for each finding, but one line for all findings of one reason if they are many."""
    lines = []
    for group in by_reason(findings):
        first = group[0]
        if len(group) <= _MOST_LINES:
            lines += [str(found) for found in group]
        else:
            names = ", ".join(Path(found.path).name for found in group[:_MOST_NAMES])
            others = f"{names} and {counted(len(group) - _MOST_NAMES, 'other', 'others')}"
            lines.append(f"{first.severity}: {len(group):,} {first.kind}s, {first.reason}: {others}; {first.detail}")
    return lines


def lines_of_group(group: Sequence[Finding]) -> list[str]:
    """Return indented lines for the findings of one reason: the names of all files, and the detail of each, or that of
    the first if they are many."""
    names = [Path(found.path).name for found in group]
    if len(group) <= _MOST_LINES:
        width = max(map(len, names))
        return [f"  {name:{width}}  {found.detail}" for name, found in zip(names, group, strict=True)]
    indent = {"initial_indent": "  ", "subsequent_indent": "  ", "break_long_words": False, "break_on_hyphens": False}
    wrapped = textwrap.wrap(", ".join(names), _WIDTH, **indent)  # type: ignore[arg-type]
    return [*wrapped, f"  The first {group[0].detail}"]


def by_reason(findings: Iterable[Finding]) -> Iterator[list[Finding]]:
    """Yield the findings that share severity, kind and reason, the groups in the order of their first members."""
    every = list(findings)
    order = {key: place for place, key in reversed(list(enumerate(map(_section, every))))}
    every.sort(key=lambda found: order[_section(found)])
    for _, members in groupby(every, key=_section):
        yield list(members)


def _section(found: Finding) -> tuple[str, str, str]:
    return found.severity, found.kind, found.reason

import pytest

from qumade.assets.findings_text import by_reason, left_out_line, lines_of_group, short_findings
from qumade.assets.scan import Finding


def findings(count: int, reason: str, severity: str = "error", kind: str = "background") -> list[Finding]:
    return [Finding(severity, kind, f"/photos/{n:02}.jpg", reason, f"is {reason} {n}") for n in range(count)]  # type: ignore[arg-type]


def test_one_line_says_how_many_are_left_out_and_why() -> None:
    every = findings(7, "no-ground") + findings(18, "no-horizon") + findings(9, "ground", "warning")
    expected = "75 of 100 backgrounds used, 25 left out: 18 no-horizon, 7 no-ground"
    assert left_out_line("background", 75, every) == expected
    assert left_out_line("foreground", 75, every) == ""


@pytest.mark.parametrize("count", [1, 5, 6, 99])
def test_many_findings_of_a_reason_share_a_line(count: int) -> None:
    lines = short_findings(findings(count, "torn") + findings(1, "empty"))
    assert len(lines) == (count if count <= 5 else 1) + 1
    assert lines[0].startswith(
        "error: background /photos/00.jpg" if count <= 5 else f"error: {count} backgrounds, torn"
    )
    if count > 5:
        others = "1 other" if count == 6 else f"{count - 5} others"
        assert f"00.jpg, 01.jpg, 02.jpg, 03.jpg, 04.jpg and {others}; is torn 0" in lines[0]


def test_a_group_names_every_file() -> None:
    few, many = lines_of_group(findings(2, "torn")), lines_of_group(findings(99, "torn"))
    assert few == ["  00.jpg  is torn 0", "  01.jpg  is torn 1"]
    assert all(f"{n:02}.jpg" in " ".join(many) for n in range(99)) and max(map(len, many)) <= 120
    assert len(many) < 9 and many[-1] == "  The first is torn 0"


def test_groups_keep_the_order_of_their_first_members() -> None:
    mixed = [*findings(1, "b"), *findings(2, "a"), *findings(2, "b", "warning"), *findings(1, "b", kind="foreground")]
    groups = list(by_reason([*mixed, *findings(1, "b")]))
    assert [(len(group), group[0].severity, group[0].reason) for group in groups] == [
        (2, "error", "b"), (2, "error", "a"), (2, "warning", "b"), (1, "error", "b"),
    ]  # fmt: skip

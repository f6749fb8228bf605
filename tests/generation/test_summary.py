from collections import Counter

from qumade.generation.summary import placement_counts, summarized
from qumade.plan.tables import REJECTIONS


def test_counts_of_parts_add_up_to_those_of_all(synthesizer):
    whole = placement_counts(synthesizer.plan(range(60)))
    parts = Counter()
    for start in range(0, 60, 20):
        parts.update(placement_counts(synthesizer.plan(range(start, start + 20))))
    assert whole == parts and set(whole) == {"fallbacks", "left_out", "rejected_crop"} | {
        f"rejected_{reason}" for reason in REJECTIONS
    }


def test_a_summary_names_every_reason_also_those_that_never_occurred(tmp_path):
    summary = summarized(
        tmp_path, 5, 3, {"fallbacks": 2, "rejected_crop": 4, "depth_clipped_px": 7}, {None: 1, "val": 4, "test": 0}
    )
    assert (summary.samples, summary.drawn, summary.fallbacks, summary.left_out) == (5, 3, 2, 0)
    assert summary.rejected == {"crop": 4} | dict.fromkeys(REJECTIONS, 0) and summary.depth_clipped_px == 7
    assert summary.splits == {"val": 4, "no split": 1}

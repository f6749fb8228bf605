"""HTML pages that hold everything in one file: numbers, plots, pictures. Names are untrusted and escaped."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from qumade import __version__
from qumade.evaluation.cards import Card
from qumade.evaluation.class_scores import MEAN, class_groups, class_lines
from qumade.evaluation.compare import Comparison, Run, letter, swapped_runs
from qumade.evaluation.evaluation import DEPTH_REGIONS, Evaluation
from qumade.evaluation.gap import RunGaps
from qumade.evaluation.panels import MASK_COLOURS, Panel, Row, headline_scores, jpeg
from qumade.evaluation.summary import (
    BASELINE,
    HEADLINES,
    SPLIT_WORDS,
    SPLITS_NOTE,
    Group,
    ScoreName,
    count_rows,
    few_pictures,
    format_number,
    how_evaluated,
    score_names,
    selected,
)
from qumade.evaluation.targets import as_text
from qumade.evaluation.verdict import how_they_differ
from qumade.io.files import write_bytes
from qumade.metrics.bootstrap import Interval, means
from qumade.viz.score_plots import plot_differences, plot_histogram, plot_intervals, plot_pairs, plot_sizes

__all__ = ["Section", "Table", "Wins", "write_comparison", "write_report"]

SECTIONS = {"mask": "Mask"} | {
    region.replace("_", " "): f"{region.replace('_', ' ').capitalize()}: {words}"
    for region, words in DEPTH_REGIONS.items()
}


class Table(NamedTuple):
    """A table of text: the head of each column, and rows of as many cells, the first one being the row's title."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Section:
    """An additional part of a report: a heading, a paragraph, and a table or pictures with captions."""

    title: str
    text: str
    pictures: tuple[Panel, ...] = ()
    table: Table | None = None


@dataclass(frozen=True, eq=False)
class Wins:
    """Pictures on which one run beats another, under a heading."""

    title: str
    rows: tuple[Row, ...]


def write_report(
    path: Path,
    run: str,
    evaluation: Evaluation,
    groups: Sequence[Group],
    worst: Sequence[Row],
    extra: Sequence[Section] = (),
    min_object_share: float = 0.0,
    trained: str = "",
    shown: Mapping[str, Sequence[Row]] | None = None,
    cards: Sequence[Card] = (),
    warning: str = "",
    verdict: Sequence[str] = (),
) -> None:
    """Write the report of one network on one dataset: report.html, which needs no other file and no connection.

    `groups` are the means for this `min_object_share`, `worst` the rows of pictures to show, `extra` additional
    sections, `trained` a sentence on the data that the network was trained on, `shown` headings with further pictures,
    which come first, `cards` what the dataset and the network are, `warning` what to know before all, `verdict` the
    sentences to begin with.
    """
    keep = selected(evaluation, min_object_share)
    names = score_names(evaluation)
    sections = []
    for title, section_names in _by_section(names):
        lines = []
        for name in section_names:
            values = [*(group.means[name.column] for group in groups), groups[0].baselines[name.column]]
            lines.append({"title": _arrowed(name), "cells": [format_number(value) for value in values]})
        sections.append({"title": title, "lines": lines})
    shown_groups = groups[1:] if len(groups) == 2 else groups
    headline_groups = [group for group in shown_groups if group.name in ("all", "test") or len(groups) == 2]
    headlines = [name for name in names if name.column in HEADLINES]
    content = {
        "title": f"{run} on {evaluation.dataset}",
        "run": run,
        "dataset": evaluation.dataset,
        "verdict": verdict,
        "counted": _counted(groups) + _kept(min_object_share),
        "warnings": list(filter(None, [warning, few_pictures(groups)])),
        "how": how_evaluated(evaluation),
        "shown": [{"title": title, "rows": [_row(row) for row in rows]} for title, rows in (shown or {}).items()],
        "facts": [
            {"title": card.title, "rows": card.rows, "plots": [_plot(svg, caption) for svg, caption in card.plots]}
            for card in cards
        ],
        "masks": evaluation.has_masks,
        "cards": [
            {
                "title": f"Mean class IoU, {group.name}",
                "value": format_number(group.ious[MEAN]),
                "baseline": format_number(None if group.ious[MEAN] is None else 0.0),  # background everywhere
            }
            for group in class_groups(evaluation, headline_groups, keep)
        ]
        + [
            {
                "title": f"{_section_of(name)} {name.title}, {group.name}",
                "value": format_number(group.means[name.column]),
                "baseline": format_number(group.baselines[name.column]),
            }
            for name in headlines
            for group in headline_groups
        ],
        "baseline": BASELINE,
        "splits_note": f"{SPLITS_NOTE} {trained}".rstrip(),
        "groups": [
            {
                "name": group.name,
                "words": SPLIT_WORDS[group.name],
                "pictures": f"{group.pictures:,}",
            }
            for group in groups
        ],
        "counts": [(title, [f"{n:,}" for n in numbers]) for title, numbers in count_rows(evaluation, groups)],
        "sections": sections,
        "plots": _plots(evaluation, groups, keep),
        "extra": [
            {
                "title": section.title,
                "text": section.text,
                "table": section.table,
                "pictures": [{"source": _jpeg_source(p.image), "caption": p.title} for p in section.pictures],
            }
            for section in extra
        ],
        "worst": [_row(row) for row in worst],
        "worst_by": headline_scores(evaluation)[0][0],
        "panels_width": _panels_width([*worst, *(row for rows in (shown or {}).values() for row in rows)]),
    }
    _write(path, "report.html.j2", content)


def write_comparison(
    path: Path,
    runs: Sequence[Run],
    comparisons: Sequence[Comparison],
    wins: Sequence[Sequence[Wins]],
    gaps: Sequence[Sequence[RunGaps]],
) -> None:
    """Write the report of a comparison: `wins` has the headings with pictures of each dataset, `gaps` how its pictures
    differ from those of the training of each run."""
    parts = []
    for comparison, found, apart in zip(comparisons, wins, gaps, strict=True):
        first = comparison.evaluations[0]
        sections = [
            {"title": title, "lines": [_compared(name, comparison) for name in names]}
            for title, names in _by_section(score_names(first))
        ]
        if comparison.classes:
            sections.append({"title": "IoU of a class", "lines": _compared_classes(comparison)})
        parts.append(
            {
                "name": comparison.dataset,
                "verdict": " ".join([how_they_differ(comparison), *swapped_runs(comparison)]),
                "counted": _counted(comparison.groups[:1]) + _kept(comparison.min_object_share),
                "few": few_pictures(comparison.groups[:1]),
                "how": how_evaluated(first, len(runs)),
                "pairs": [f"A - {letter(number)}" for number in range(1, len(runs))],
                "sections": sections,
                "plots": _pair_plots(comparison),
                "gaps": [_gap_table(one) for one in apart],
                "wins": [{"title": part.title, "rows": [_row(row) for row in part.rows]} for part in found],
            }
        )
    content = {
        "title": f"{len(runs)} networks compared on {_listed([one.dataset for one in comparisons])}",
        "runs": [{"letter": letter(number), "name": run.name} for number, run in enumerate(runs)],
        "overview": _overview(comparisons),
        "parts": parts,
        "panels_width": _panels_width([row for part in wins for heading in part for row in heading.rows]),
    }
    _write(path, "compare.html.j2", content)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _gap_table(found: RunGaps) -> dict[str, Any]:
    rows = [(gap.title, f"{gap.training:.3f}", f"{gap.others:.3f}", f"{gap.distance:.2f}") for gap in found.gaps]
    return {
        "title": f"{found.letter}: {found.about}",
        "sentence": found.sentence,
        "rows": rows,
    }


def _write(path: Path, template: str, content: dict[str, Any]) -> None:
    environment = Environment(
        loader=PackageLoader("qumade.evaluation"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    colours = [(name, " ".join(map(str, colour))) for name, colour in MASK_COLOURS.items()]
    text = environment.get_template(template).render(
        content, date=datetime.now().astimezone().date().isoformat(), version=__version__, mask_colours=colours
    )
    write_bytes(path, as_text(text).encode())


def _by_section(names: Sequence[ScoreName]) -> list[tuple[str, list[ScoreName]]]:
    sections = dict.fromkeys(name.section for name in names)
    return [(SECTIONS[section], [name for name in names if name.section == section]) for section in sections]


def _section_of(name: ScoreName) -> str:
    return name.section.capitalize()


def _arrowed(name: ScoreName) -> str:
    return f"{name.title} {'↑' if name.higher_is_better else '↓'}"


def _counted(groups: Sequence[Group]) -> str:
    group = groups[0]
    text = f"{group.pictures:,} pictures evaluated" if group.pictures != 1 else "1 picture evaluated"
    parts = [f"{group.no_object:,} of them without an object"] if group.no_object else []
    if group.unknown:
        parts.append(f"{group.unknown:,} {'' if parts else 'of them '}with an unknown mask")
    return f"{', '.join([text, *parts])}."


def _kept(min_object_share: float) -> str:
    if min_object_share == 0:
        return ""
    return f" Only pictures count in which the object covers at least {100 * min_object_share:.3g} %."


def _plots(evaluation: Evaluation, groups: Sequence[Group], keep: NDArray[np.bool_]) -> list[dict[str, str]]:
    plots = []
    shares = evaluation.scores["object_share"].to_numpy()[keep]
    splits = np.asarray(evaluation.scores["split"].to_pylist(), np.str_)[keep]
    for column, title in zip(HEADLINES, ("mask IoU", "delta < 1.25"), strict=True):
        values = evaluation.scores[column].to_numpy()[keep]
        if np.isnan(values).all():
            continue
        plots.append(_plot(plot_histogram(values, title), f"Number of pictures over their {title}."))
        if evaluation.has_masks:
            caption = f"{_capital(title)} over the size of the object; each point holds equally many."
            plots.append(_plot(plot_sizes(shares, values, title), caption))
        rows = {
            group.name: np.ones(len(splits), bool) if group.name == "all" else splits == group.name for group in groups
        }
        intervals = {name: means(values[chosen, None])[0] for name, chosen in rows.items()}
        intervals = {name: found for name, found in intervals.items() if not np.isnan(found.value)}
        if len(intervals) > 1:
            caption = f"Mean {title} of each split; an open point has no interval (fewer than 20 pictures)."
            plots.append(_plot(plot_intervals(intervals, title), caption))
    return plots


def _capital(title: str) -> str:
    return title[:1].upper() + title[1:]


def _compared(name: ScoreName, comparison: Comparison) -> dict[str, Any]:
    values = [group.means[name.column] for group in comparison.groups]
    return _line(
        _arrowed(name), values, [found[name.column] for found in comparison.differences], name.higher_is_better
    )


def _compared_classes(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        _line(f"{title} ↑", ious, [found[number] for found in comparison.class_differences])
        for number, (title, ious) in enumerate(class_lines(comparison.classes))
    ]


def _line(
    title: str, values: Sequence[float | None], differences: Sequence[Interval], higher_is_better: bool = True
) -> dict[str, Any]:
    """Return one line of the table: the mean of each run, and each difference with its interval and pictures."""
    better = [False] * len(values)
    cells = []
    for number, interval in enumerate(differences, 1):
        ends = "-"
        if interval.low is not None and interval.high is not None:
            ends = f"{interval.low:+.3g} to {interval.high:+.3g}"
            if interval.low > 0 or interval.high < 0:
                better[0 if (interval.low > 0) == higher_is_better else number] = True
        value = "-" if np.isnan(interval.value) else f"{interval.value:+.3g}"
        cells += [{"text": text, "better": False} for text in (value, ends, f"{interval.pictures:,}")]
    runs = [{"text": format_number(value), "better": wins} for value, wins in zip(values, better, strict=True)]
    return {"title": title, "cells": runs + cells}


def _pair_plots(comparison: Comparison) -> list[dict[str, str]]:
    plots = []
    for number in range(1, len(comparison.evaluations)):
        pair = (letter(0), letter(number))
        first, second = comparison.evaluations[0], comparison.evaluations[number]
        for (title, a), (_, b) in zip(headline_scores(first), headline_scores(second), strict=True):
            drawn = plot_pairs(a[comparison.keep], b[comparison.keep], title, pair)
            caption = f"{_capital(title)} of each picture; below the line {pair[0]} is better, above it {pair[1]}."
            plots.append(_plot(drawn, caption))
    return plots


def _overview(comparisons: Sequence[Comparison]) -> list[dict[str, str]]:
    """Return a plot for each headline score and pair: its difference on every dataset."""
    plots = []
    columns: list[tuple[str | None, str]] = [(None, "class IoU")] if comparisons[0].class_differences else []
    columns += zip(HEADLINES, ("mask IoU", "delta < 1.25"), strict=True)
    for column, title in columns:
        for number in range(len(comparisons[0].differences)):
            intervals: dict[str, Interval] = {}
            for comparison in comparisons:
                mean = comparison.class_differences[number][-1] if comparison.class_differences else None
                interval = comparison.differences[number][column] if column is not None else mean
                if interval is not None and not np.isnan(interval.value):
                    intervals[comparison.dataset] = interval
            if intervals:
                names = (f"{title} of A", letter(number + 1))
                caption = f"{_capital(title)} of A minus that of {names[1]} on each dataset, with 95 % intervals."
                plots.append(_plot(plot_differences(intervals, names), caption))
    return plots


def _plot(svg: bytes, caption: str) -> dict[str, str]:
    return {"source": f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}", "caption": caption}


def _jpeg_source(image: Image.Image) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg(image)).decode()}"


def _row(row: Row) -> dict[str, Any]:
    panels = [
        {
            "title": panel.title,
            "source": _jpeg_source(panel.image),
            "width": panel.image.width,
            "height": panel.image.height,
        }
        for panel in row.panels
    ]
    return {"caption": row.caption, "panels": panels}


def _panels_width(rows: Sequence[Row]) -> int:
    """Return the largest width at which a row of panels is shown, in pixels: its own."""
    return max((sum(panel.image.width + 6 for panel in row.panels) for row in rows), default=600)

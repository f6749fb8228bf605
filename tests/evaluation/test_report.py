import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from qumade.data.dataset import LabeledSample
from qumade.data.folder import FolderDataset
from qumade.evaluation.cards import Card
from qumade.evaluation.compare import Run, compare, comparison_as_json, draw_wins, wins
from qumade.evaluation.evaluation import evaluate
from qumade.evaluation.gap import Gap, RunGaps
from qumade.evaluation.panels import Panel, draw_rows, worst
from qumade.evaluation.report import Section, Table, Wins, write_comparison, write_report
from qumade.evaluation.summary import SPLITS_NOTE, summarise
from qumade.evaluation.verdict import how_good, weakness
from qumade.prediction.predictor import Prediction
from qumade.viz.score_plots import plot_training

CURVE = [{"step": 10.0, "loss": 2.0, "val_iou": 0.1}, {"step": 20.0, "loss": 1.0, "val_iou": 0.5}]

HOSTILE = "<script>alert('x')</script>\"&$x^2$\n{{ 7 * 7 }}\udcff"


class Page(HTMLParser):
    """Tags and addresses of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.sources, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data):
        self.text += data


def read(path):
    text = path.read_text("utf-8")
    page = Page(text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert page.sources and all(source.startswith("data:image/") for source in page.sources)
    assert "default-src 'none'" in text and "http-equiv" in text
    return page


@pytest.fixture
def hostile(make_samples):
    samples = make_samples(6, empty=1, splits=np.array(["train", "test"] * 3), name=HOSTILE)
    samples.stems = np.array([HOSTILE] * 6)
    return samples


def test_the_report_holds_everything_and_escapes_names(hostile, oracle, tmp_path):
    predict = oracle(hostile, shift=2)
    found = evaluate(predict, hostile, predicted_kind="metric")
    groups = summarise(found)
    rows = draw_rows(found, predict, hostile, worst(found))
    extra = [
        Section(HOSTILE, HOSTILE, (Panel(HOSTILE, Image.new("RGB", (4, 4))),), Table(("", "a1"), ((HOSTILE, "0.725"),)))
    ]
    write_report(tmp_path / "report.html", HOSTILE, found, groups, rows, extra)
    page = read(tmp_path / "report.html")
    assert len(page.sources) == 6 * 6 + 6 + 1  # panels, plots, the further picture
    texts = (
        "boundary IoU",
        "trivial baseline, all",
        "Alignment: none",
        "The 6 worst pictures",
    )
    for text in (*texts, "neither is in the training part", SPLITS_NOTE):
        assert text in page.text
    assert not any(source.startswith("data:image/png") for source in page.sources)  # photos as PNG are too large
    assert f"{groups[0].means['mask_iou']:.3f}" in page.text and "{{ 7 * 7 }}" in page.text and "0.725" in page.text


@pytest.mark.parametrize("kept", ["masks", "depth"])
def test_reports_of_datasets_with_masks_or_depth_only(hostile, oracle, tmp_path, kept):
    predict = oracle(hostile)
    masks = kept == "masks"
    hostile.triples = [
        LabeledSample(t.image, t.mask if masks else None, None if masks else t.inverse_depth, None)
        for t in hostile.triples
    ]
    hostile.depth_encoding = None if masks else hostile.depth_encoding
    found = evaluate(predict, hostile)
    rows = draw_rows(found, predict, hostile, worst(found, 3))
    write_report(tmp_path / "report.html", "run", found, summarise(found), rows)
    page = read(tmp_path / "report.html")
    assert ("IoU" in page.text) == masks and ("AbsRel" in page.text) != masks
    assert f"The {len(rows)} worst" in page.text


def test_the_first_screen_says_how_good_and_what_fails(make_samples, oracle, tmp_path):
    samples = make_samples(20, name="yard")
    predict = oracle(samples, shift=2)
    found = evaluate(predict, samples, predicted_kind="metric")
    groups = summarise(found)
    rows = draw_rows(found, predict, samples, [3])
    card = Card("The data", (("Depth", "metric, <b>measured</b>"),), tuple(plot_training(CURVE)))
    more = {"shown": {"Typical pictures": rows}, "cards": [card], "warning": "Mind this"}
    more["verdict"] = how_good(found, groups, np.ones(20, bool)), weakness(found, np.ones(20, bool))
    write_report(tmp_path / "r.html", "run", found, groups, [], **more)
    page = read(tmp_path / "r.html")
    sentences = more["verdict"]
    sentences = [sentence.replace(" %", "\u00a0%") for sentence in sentences]  # never broken
    places = [page.text.index(text) for text in (*sentences, "Mind this.", "Typical pictures", "Means of", "The data")]
    assert places == sorted(places) and sentences[0].startswith("On 20 pictures, masks overlap the true ones by ")
    assert "metric, <b>measured</b>" in page.text and datetime.now().astimezone().date().isoformat() in page.text
    assert len(page.sources) == 6 + 4 + 2  # panels, plots, curves
    assert "@media print" in (tmp_path / "r.html").read_text()


def test_left_out_pictures_are_stated(make_samples, oracle, tmp_path):
    samples = make_samples(4, empty=2)
    found = evaluate(oracle(samples), samples)
    write_report(tmp_path / "r.html", "run", found, summarise(found, 0.01), [], min_object_share=0.01)
    page = read(tmp_path / "r.html")
    assert SPLITS_NOTE not in page.text
    assert "2 pictures evaluated. Only pictures count in which the object covers at least 1 %." in page.text


def test_the_comparison_holds_everything_and_escapes_names(hostile, oracle, tmp_path):
    networks = [Run(HOSTILE, oracle(hostile), "metric"), Run("b", oracle(hostile, shift=3), "metric")]
    found = [compare(networks, hostile), compare(networks, hostile, limit=2)]
    pictures = draw_wins(found[0], networks, hostile, (0, 1), [row for row, _ in wins(found[0], 0, 1)])
    heading = Wins(HOSTILE, tuple(pictures))
    apart = [RunGaps("A", HOSTILE, (Gap("size", 0.4, 0.1, 2.5),)), RunGaps("B", "an .onnx file")]
    write_comparison(tmp_path / "c.html", networks, found, [[heading, Wins("none", ())], [heading]], [apart, []])
    page = read(tmp_path / "c.html")
    gaps = ("The largest gap: the training pictures have larger objects", "2.50", "The gap cannot be measured.")
    assert page.text.count("Too few pictures tell A and B apart in mask IoU") == 2
    assert f"2 networks compared on {found[0].dataset} and " in page.text
    for text in ("A - B", "95 % interval", "On no picture.", "{{ 7 * 7 }}", *gaps):
        assert text in page.text


def test_significantly_better_values_are_bold(make_samples, oracle, tmp_path):
    samples = make_samples(30)
    networks = [Run("bad", oracle(samples, shift=4), "metric"), Run("good", oracle(samples), "metric")]
    write_comparison(tmp_path / "c.html", networks, [compare(networks, samples)], [[]], [[]])
    text = (tmp_path / "c.html").read_text()
    line = re.search(r"<tr><td>MAE ↓</td>(.*?)</tr>", text).group(1)
    assert line.count('class="better"') == 1 and line.index("better") > line.index("<td>")
    line = re.search(r"<tr><td>delta &lt; 1.25 ↑</td>(.*?)</tr>", text).group(1)
    assert "better" not in line


def test_unknown_masks_and_swapped_depth_have_rows(make_samples, oracle, tmp_path):
    samples = make_samples(4, empty=1)
    samples.triples[3] = replace(samples.triples[3], ignore=np.ones((32, 40), bool))
    predict = oracle(samples)

    def inside_out(images):
        return [found._replace(inverse_depth=1 - found.inverse_depth) for found in predict(images)]

    found = evaluate(inside_out, samples)
    write_report(tmp_path / "r.html", "run", found, summarise(found), [])
    page = read(tmp_path / "r.html")
    assert "4 pictures evaluated, 1 of them without an object, 1 with an unknown mask." in page.text
    text = (tmp_path / "r.html").read_text()
    for title, number in (("no object, left out", 1), ("mask unknown, left out", 1), ("near and far swapped", 3)):
        assert f"<tr><td>{title}</td><td>{number}</td><td></td></tr>" in text
    runs = [Run("right", predict), Run("wrong", inside_out)]
    write_comparison(tmp_path / "c.html", runs, [compare(runs, samples)], [[]], [[]])
    assert "B: In 3 of 3 pictures near and far are swapped." in read(tmp_path / "c.html").text


def test_classes_that_are_confused_are_seen_at_once(two_class_dataset, tmp_path):
    dataset = FolderDataset(two_class_dataset)
    seen = {(sample := dataset.read(n)).image.tobytes(): sample.class_map for n in range(len(dataset))}

    def network(numbers):
        maps = {image: np.array([0, *numbers], np.uint8)[each] for image, each in seen.items()}

        def predict(images):
            found = [maps[image.tobytes()] for image in images]
            return [Prediction((each > 0).astype(np.float32), np.zeros(each.shape, np.float32), each) for each in found]

        return predict

    classes = {"trained_tasks": ("mask",), "classes": ("car", "person")}
    runs = [Run(name, network(numbers), None, *classes.values()) for name, numbers in (("a", (1, 2)), ("b", (2, 1)))]
    found = evaluate(runs[1].predict, dataset, **classes)
    write_report(tmp_path / "r.html", "run", found, summarise(found), [])
    assert "<b>0.000</b><span>Mean class IoU, all<br>trivial baseline 0.000" in (tmp_path / "r.html").read_text()
    comparison = compare(runs, dataset)
    write_comparison(tmp_path / "c.html", runs, [comparison], [[]], [[]])
    assert "A is better than B in mean class IoU (1.000 against 0.000)." in read(tmp_path / "c.html").text
    line = re.search(r"<tr><td>mean of the classes ↑</td>(.*?)</tr>", (tmp_path / "c.html").read_text()).group(1)
    assert line.startswith('<td class="better">1.000</td><td>0.000</td><td>+1</td><td>+1 to +1</td>')
    scores = comparison_as_json(runs, [comparison])["datasets"][0]["differences"][0]["classes"]
    assert scores["mean_iou"]["low"] == 1 and scores["iou"].keys() == {"car", "person"}

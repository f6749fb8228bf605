import pytest
from cyclopts import CycloptsError

from qumade.cli.app import make_app
from qumade.cli.usage import usage_error


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train data", "qumade train needs a value for --out"),
        ("train data --out", "qumade train needs a value for --out"),
        ("generate --backgrounds b --foregrounds f", "qumade generate needs a value for --out"),
        ("predict", "qumade predict needs NETWORK"),
        ("compare run", "qumade compare needs a value for --on"),
        ("samples a b", "qumade samples has no place for 'b'; flags begin with -- (qumade samples --help lists them)"),
        ("train data --out r --threads abc", "Invalid --threads: got 'abc'; must be an integer"),
        ("predict run a.png --out r --smooth abc", "Invalid --smooth: got 'abc'; must be a number"),
        ("predict run a.png --out r --device tpu", "Invalid --device: got 'tpu'; must be one of cpu, cuda"),
        ("train data --out r --step 3", "Unknown option: --step. Did you mean --steps?"),
    ],
)
def test_wrong_usage_is_one_line_that_says_what_is_allowed(line, said):
    words = line.split()
    with pytest.raises(CycloptsError) as caught:
        make_app(words)(words, exit_on_error=False, print_error=False, result_action="return_value")
    assert usage_error(caught.value, words[0]) == said


def test_every_format_is_named():
    words = ["convert", "data", "--to", "excel", "--out", "x"]
    with pytest.raises(CycloptsError) as caught:
        make_app(words)(words, exit_on_error=False, print_error=False, result_action="return_value")
    assert usage_error(caught.value, "convert") == (
        "Invalid --to: got 'excel'; must be one of coco, yolo, yolo-detect, voc, hf, kitti-depth, ultralytics-depth, "
        "shards, folder"
    )

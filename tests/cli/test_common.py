import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qumade.assets.scan import Finding
from qumade.cli.common import escaped, finish, model, recipe_fields, report_findings, say, show

Run = Callable[..., Any]
Folders = Callable[..., list[str]]


@dataclass(frozen=True)
class Summary:
    root: Path
    drawn: int


@pytest.mark.parametrize("result", [Summary(Path("/data"), 3), {"root": Path("/data"), "drawn": 3}])
def test_a_result_is_text_or_one_json_object(result: Any, capsys: pytest.CaptureFixture[str]) -> None:
    finish(False, result, "3 samples")
    assert capsys.readouterr() == ("3 samples\n", "")
    finish(True, result, "3 samples")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"root": "/data", "drawn": 3} and out.count("\n") == 1 and err == "3 samples\n"


HOSTILE = "a\x1b[31mred\x07\u202e\udcff\n\rb \xe4"


def test_no_terminal_obeys_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for print_it in (say, show, lambda text: finish(False, {}, text), lambda text: finish(True, {"name": text}, text)):
        print_it(HOSTILE)
        out, err = capsys.readouterr()
        assert all(part.isprintable() for part in (out + err).splitlines()), print_it
        assert "\\x1b[31mred" in out + err and "\xe4" in err + out
    assert escaped(HOSTILE, one_line=True).isprintable() and escaped("Stra\xdfe", one_line=True) == "Stra\xdfe"


@pytest.mark.parametrize("workers", [0, -1])
def test_no_verb_runs_with_fewer_workers_than_one(run: Run, tmp_path: Path, workers: int) -> None:
    folders = ["--backgrounds", str(tmp_path), "--foregrounds", str(tmp_path)]
    for verb in (
        ["generate", *folders, "--out", "d"], ["stats", "d"], ["import", "coco", "d", "--out", "o"],
        ["cutouts", "d", "--out", "o"], ["demo", "--out", "o"],
    ):  # fmt: skip
        result = run(*verb, "--workers", str(workers))
        assert result.code == 1 and f"Invalid --workers: got {workers}; must be at least 1" in result.err


def test_json_holds_no_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        finish(True, {"loss": float("nan")}, "")


def test_findings_are_reported_by_reason_and_information_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    findings = [Finding(level, "mask", f"/{level}.png", "", "odd") for level in ("info", "warning")]
    findings += [Finding("error", "background", f"/{n}.png", "no-horizon", "is odd") for n in range(18)]
    foregrounds = [SimpleNamespace(flip=flip) for flip in (False, True)]
    catalog = SimpleNamespace(backgrounds=range(82), foregrounds=foregrounds)
    report_findings(SimpleNamespace(findings=findings, catalog=catalog))  # type: ignore[arg-type]
    assert capsys.readouterr().err.splitlines() == [
        "warning: mask /warning.png: odd",
        "error: 18 backgrounds, no-horizon: 0.png, 1.png, 2.png, 3.png, 4.png and 13 others; is odd",
        "82 of 100 backgrounds used, 18 left out: 18 no-horizon; `qumade check` names them",
    ]


def test_a_network_is_a_path_if_it_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert [model(text) for text in ("mine", "gone.ONNX", "mine/network", "auto")] == [
        tmp_path / "mine", tmp_path / "gone.ONNX", "mine/network", "auto",
    ]  # fmt: skip


def test_flags_override_the_recipe_file(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("backgrounds: b\nforegrounds: f\nseed: 4\nper_pair: 3\n")
    given = recipe_fields("generate", recipe, {"seed": 0, "flip": False})
    assert (given["seed"], given["per_pair"], given["flip"]) == (0, 3, False)
    assert given["backgrounds"] == tmp_path / "b"


@pytest.mark.parametrize("given", [{}, {"backgrounds": "b"}, {"foregrounds": "f"}])
def test_assets_must_be_given(given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        recipe_fields("check", None, given)
    assert exit_info.value.code == 2
    assert capsys.readouterr().err == (
        "Error: qumade check needs --backgrounds and --foregrounds, or a --recipe that names them\n"
    )
    assert recipe_fields("check", None, {"backgrounds": "b", "foregrounds": "f"}) == {
        "backgrounds": "b", "foregrounds": "f",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flag", "wanted"),
    [
        ("--size=big", "--size: got 'big'"),
        ("--size=10x10x10", "--size: got [10, 10, 10]"),
        ("--size=4", "--size: got 4"),
        ("--size=", "--size: got ''"),
        ("--crop=0.5,0.7,0.9", "--crop: got [0.5, 0.7, 0.9]"),
        ("--crop=half", "--crop: got 'half'"),
        ("--crop=0", "--crop: got 0"),
        ("--horizon=low", "--horizon: got 'low'"),
        ("--horizon=45", "--horizon: got 45 in the command line; must be at least -1 and below 1, or 'labels'"),
        ("--per-pair=0", "--per-pair: got 0"),
        ("--labels=nowhere", "labels"),
        ("--label-names=nobody", "nobody"),
        ("--placement=semantic", "semantic placement needs"),
    ],
)
@pytest.mark.parametrize("verb", ["check", "generate"])
def test_wrong_values_end_with_1_and_one_line(
    run: Run, folders: Folders, assets: Path, verb: str, flag: str, wanted: str
) -> None:
    more = [f"--labels={assets / 'labels'}"] if flag.startswith("--label-names") else []
    more += [f"--out={assets / 'data'}"] if verb == "generate" else []
    result = run(verb, *folders(), *more, flag)
    (line,) = result.err.strip().splitlines()[-1:]
    assert (result.code, result.out) == (1, "")
    assert line.startswith("Error: ") and wanted in line
    assert not (assets / "data").exists()

import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qumade import __version__
from qumade.cli import app
from qumade.errors import QumadeError

Run = Callable[..., Any]
Folders = Callable[..., list[str]]

VERBS = list(app.VERBS)
COMMAND = [sys.executable, "-c", "from qumade.cli import main; main()"]


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_an_example(run: Run, verb: str) -> None:
    result = run(verb, "--help")
    assert result.code == 0 and f"Example: qumade {verb} " in result.out


def test_help_and_version(run: Run) -> None:
    result = run("--help")
    assert result.code == 0 and all(verb in result.out for verb in VERBS)
    assert run("--version").out.strip() == __version__


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["check", "--help"]])
def test_help_imports_no_heavy_library(arguments: list[str]) -> None:
    code = (
        f"import sys; from qumade import cli; sys.argv[1:] = {arguments!r}\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'numba', 'PIL', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["generate"],
        ["generate", "--out=data"],
        ["generate", "--out=data", "--recipe=r.yaml", "--placement=best"],
        ["generate", "--out=data", "--recipe=r.yaml", "--per-pair=many"],
        ["generate", "--out=data", "--recipe=r.yaml", "--perpair=3"],
        ["check"],
        ["check", "--backgrounds=b"],
        ["preview"],
        ["audit"],
        ["stats", "a", "b"],
    ],
)
def test_wrong_usage_ends_with_2_and_nothing_on_stdout(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, "") and result.err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (QumadeError("Invalid asset: got none"), 1, "Error: Invalid asset: got none"),
        (KeyboardInterrupt(), 130, "Interrupted; the same command resumes from here"),
        (
            OSError(28, "No space left on device", "full.jpg"),
            1,
            f"Error: No space left on device: {Path('full.jpg').absolute()}; "
            "the same command resumes from here once this is fixed",
        ),
        (
            OSError("the network is gone"),
            1,
            "Error: the network is gone; the same command resumes from here once this is fixed",
        ),
    ],
)
def test_every_error_is_one_line(
    run: Run,
    folders: Folders,
    assets: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    message: str,
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("qumade.generation.engine.generate", stop)
    result = run("generate", *folders(), f"--out={assets / 'data'}")
    assert (result.code, result.out, result.err.splitlines()[-1]) == (code, "", message)


@pytest.mark.parametrize("verb", VERBS)
def test_only_verbs_that_resume_say_so(run: Run, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("qumade.cli.make_app", stop)
    resumes = verb in {"start", "demo", "generate", "train", "predict", "import", "convert"}
    said = "resumes from here" if resumes else "opens the page again" if verb == "studio" else "starts over"
    result = run(verb)
    assert (result.code, result.err) == (130, f"Interrupted; the same command {said}\n")


def test_unexpected_errors_are_not_hidden(
    run: Run, folders: Folders, assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qumade.generation.engine.generate", lambda *_, **__: [][0])
    with pytest.raises(IndexError):
        run("generate", *folders(), f"--out={assets / 'data'}")


def test_what_the_library_logs_is_on_stderr(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def log(*_: object) -> None:
        logger = logging.getLogger("qumade.assets.bundled")
        logger.debug("opened")
        logger.info("3 samples")
        logger.warning("%d samples are odd", 2)

    monkeypatch.setattr("qumade.assets.bundled.write_samples", log)
    for _ in range(2):  # once each, however often the command runs in one process
        result = run("samples", "samples")
        assert (result.code, result.err) == (0, "3 samples\nNote: 2 samples are odd\n")


def test_warnings_are_notes_of_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(*_: object) -> None:
        warnings.warn("the codec is another version", stacklevel=1)

    monkeypatch.setattr("qumade.assets.bundled.write_samples", warn)
    result = run("samples", "samples")
    assert (result.code, result.err) == (0, "Note: the codec is another version\n")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_exit_with_130_and_keep_drawn_samples(folders: Folders, tmp_path: Path, number: signal.Signals) -> None:
    data = tmp_path / "data"
    command = [*COMMAND, "generate", *folders(), "--size=32x24", "--per-pair=200000", "--workers=1"]
    process = subprocess.Popen([*command, f"--out={data}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not any(data.glob("images/*.jpg")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Interrupted; the same command resumes from here" in err and "Traceback" not in err
    assert any(data.glob("images/*.jpg")) and not (data / "manifest.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "example"),
    [
        (("generate", "--backgrounds=a"), "Example: qumade generate --backgrounds samples/backgrounds"),
        (("predict", "run", "photos"), "Example: qumade predict RUN photos clip.mp4 --out predictions"),
        (("train", "data", "--nonsense=3"), "Example: qumade train DATA_PATH --out RUN"),
    ],
)
def test_wrong_usage_ends_with_an_example(run: Run, arguments: tuple[str, ...], example: str) -> None:
    result = run(*arguments)
    assert result.code == 2 and result.err.splitlines()[-1].startswith(example)


def test_wrong_usage_of_no_verb_has_no_example(run: Run) -> None:
    assert "Example" not in run("nonsense").err

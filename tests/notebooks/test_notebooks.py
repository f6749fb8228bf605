"""Every notebook from top to bottom, with small constants; later ones take what earlier ones made."""

import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from qumade.assets.bundled import bundled_folder

FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.name for path in FOLDER.glob("*.ipynb"))
SIZE = (64, 64)


def _with_constants(name: str, **constants: Any) -> nbformat.NotebookNode:
    notebook = nbformat.read(FOLDER / name, as_version=4)
    source = notebook.cells[0].source
    for constant, value in constants.items():
        source, found = re.subn(rf"(?m)^{constant} = .*?(?=  #|$)", lambda _: f"{constant} = {value!r}", source)  # noqa: B023
        assert found == 1, f"{name} has no constant {constant}"
    notebook.cells[0].source = source
    return notebook


def _run(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    folder.mkdir(exist_ok=True)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    return client.execute()


def _text(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("text", "") for output in outputs)


def _pictures(notebook: nbformat.NotebookNode) -> int:
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return sum(bool({"image/png", "image/svg+xml"} & set(output.get("data", {}))) for output in outputs)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # more of them wait for each other where cores are shared
        patch.delenv("MPLBACKEND", raising=False)
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def generated(project: Path) -> nbformat.NotebookNode:
    constants = {"SIZE": SIZE, "PER_PAIR": 1, "WORKERS": 1, "LIB_PATH": str(FOLDER.parent / "src")}
    return _run(_with_constants("data_generation.ipynb", **constants), project / "notebooks")


@pytest.fixture(scope="module")
def trained(generated: nbformat.NotebookNode, project: Path) -> nbformat.NotebookNode:
    constants = {"SIZE": SIZE, "EPOCHS": 1, "BATCH_SIZE": 32, "FINDER_STEPS": 10, "EVALUATED": 4}
    return _run(_with_constants("training.ipynb", **constants), project)


@pytest.mark.parametrize("name", NAMES)
def test_is_committed_without_outputs(name: str) -> None:
    notebook = nbformat.read(FOLDER / name, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
    assert "widgets" not in notebook.metadata


@pytest.mark.parametrize("name", NAMES)
def test_begins_with_constants_and_explains_itself(name: str) -> None:
    cells = nbformat.read(FOLDER / name, as_version=4).cells
    assert cells[0].cell_type == "code" and "LIB_PATH = None" in cells[0].source
    lines = [line for line in cells[0].source.splitlines() if line and not line.startswith("#")]
    assert all(re.match(r"[A-Z_]+(, [A-Z_]+)* = ", line) for line in lines)
    assert sum(cell.cell_type == "markdown" for cell in cells) >= 5


@pytest.mark.slow
def test_data_generation_from_the_folder_of_notebooks(generated: nbformat.NotebookNode, project: Path) -> None:
    assert len(list((project / "out/notebooks/dataset/images").iterdir())) == 24 * 24
    assert not list((project / "notebooks").iterdir())
    assert _pictures(generated) == 3


@pytest.mark.parametrize("name", NAMES)
def test_installs_the_library_where_it_is_missing(name: str) -> None:
    cells = nbformat.read(FOLDER / name, as_version=4).cells
    (install,) = re.findall(r'(?m)^INSTALL = "(.*?)"', cells[0].source)
    folder, extras = install.removesuffix("]").split("[")
    assert (FOLDER / folder / "pyproject.toml").is_file()  # no name: a stranger could take it on PyPI
    assert f"'.[{extras}]'" in (FOLDER.parent / "docs" / "notebooks.md").read_text()
    first = next(cell.source for cell in cells[1:] if cell.cell_type == "code")
    assert first.index('%pip install --quiet "{INSTALL}"') < first.index("from qumade")


@pytest.mark.slow
def test_start_on_two_folders(project: Path) -> None:
    samples = bundled_folder()
    for name in ("backgrounds", "foregrounds"):
        (project / "my" / name).mkdir(parents=True)
        for path in sorted((samples / name).iterdir())[:3]:
            shutil.copy(path, project / "my" / name)
    folders = {"PHOTOS": "my/backgrounds", "OBJECTS": "my/foregrounds"}
    notebook = _run(_with_constants("start.ipynb", **folders, STEPS=2, EVALUATED=4, SHOWN=2), project)
    text = _text(notebook)
    assert "3 photos and 3 cut-outs" in text and "Undertrained: 2 steps" in text
    assert "On 4 pictures of the split test, masks overlap the true ones by" in text
    assert (project / "out/notebooks/start/report/report.html").is_file()
    assert _pictures(notebook) == 1 + 1 + 1 + 2  # sheet, curves, results, predictions


@pytest.mark.slow
def test_statistics(generated: nbformat.NotebookNode, project: Path) -> None:
    notebook = _run(_with_constants("QuMaDe_data_statistics.ipynb", WORKERS=1, PLOTTED=20), project)
    assert (project / "out/notebooks/dataset/statistics.json").is_file()
    assert _pictures(notebook) == 3


@pytest.mark.slow
def test_training(trained: nbformat.NotebookNode, project: Path) -> None:
    run = project / "out/notebooks/runs/run_1"
    assert (run / "weights/best.safetensors").is_file() and (run / "model.onnx").is_file()
    assert _pictures(trained) == 8
    assert "trivial baseline" in _text(trained) and "mask decoder" in _text(trained)


@pytest.mark.slow
def test_training_on_masks_alone_shows_no_depth(generated: nbformat.NotebookNode, project: Path) -> None:
    data = project / "masks_alone"
    for folder in ("images", "masks"):
        shutil.copytree(project / "out/notebooks/dataset" / folder, data / folder)
    constants = {"SIZE": SIZE, "EPOCHS": 1, "BATCH_SIZE": 32, "FINDER_STEPS": 10, "EVALUATED": 4}
    shutil.copy(project / "out/notebooks/dataset/manifest.parquet", data)
    notebook = _with_constants("training.ipynb", DATA_PATH=str(data), OUT="out/masks_alone", **constants)
    (exporting,) = [cell for cell in notebook.cells if "export_onnx(" in cell.source]
    exporting.source = "from types import SimpleNamespace\n\nexported = SimpleNamespace(file=run)"  # saves seconds
    notebook.cells.append(nbformat.v4.new_code_cell("print(list(heats), list(layers))"))
    text = _text(_run(notebook, project))
    assert "Depth is not evaluated" in text and "AbsRel" not in text
    assert "['for the mask'] ['photo', 'probability of the mask']" in text


@pytest.mark.slow
def test_compare(trained: nbformat.NotebookNode, project: Path) -> None:
    scenes = [str(Path(shutil.copytree(bundled_folder() / "reference", project / n / "scenes"))) for n in "ab"]
    constants = {"RUN_A": str(project / "out/notebooks/runs/run_1"), "STEPS": 1, "SIZE": SIZE, "LIMIT": 21, "WINS": 1}
    notebook = _run(_with_constants("compare.ipynb", DATA_PATHS=scenes, **constants), project)
    assert (project / "out/notebooks/runs/random_64x64_1_steps/weights/best.safetensors").is_file()
    assert _pictures(notebook) == 2 + 2 * (2 + 1 + 1)
    assert "A - B" in _text(notebook)
    assert all(f"{path}: 21 pictures" in _text(notebook) for path in scenes)  # of one name, told apart

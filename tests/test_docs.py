import re
import textwrap
from functools import cache
from pathlib import Path

import pytest
import yaml

import qumade
from qumade.assets.bundled import write_samples
from qumade.cli.app import RESUMING, make_app
from qumade.data.manifest import MANIFEST_SCHEMA
from qumade.recipe import Recipe
from qumade.training.config import TrainConfig

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FOLDERS = [ROOT, ROOT / "src" / "qumade", ROOT / "src" / "qumade" / "plan", ROOT / "src" / "qumade" / "training"]
APP = make_app()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


@pytest.mark.parametrize("field", Recipe.model_fields)
def test_the_page_of_the_recipe_has_every_field(field):
    assert f"| `{field}` |" in (DOCS / "recipe.md").read_text()


@pytest.mark.parametrize("column", MANIFEST_SCHEMA.names)
def test_the_page_of_datasets_has_every_column_of_the_manifest(column):
    assert f"`{column}`" in (DOCS / "dataset.md").read_text()


def test_pages_name_pictures_and_pages_that_exist():
    for page in PAGES:
        for target in _targets(page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} names {target}"


def _targets(text: str) -> list[str]:
    """Files that a page links to."""
    targets = [part.split(")")[0].split("#")[0] for part in text.split("](")[1:]]
    return [target for target in targets if target and not target.startswith("http")]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_paths_in_the_maps_exist(page):
    paths = set(re.findall(r"`((?:[\w.]+/)+(?:[\w.]+\.\w+)?|\w+\.py)`", (ROOT / page).read_text()))
    placeholders = {
        "convert/exporters/NAME.py",
        "convert/importers/NAME.py",
        "ignore/",
        "images/img000001.jpg",
        "samples/recipe.yaml",
    }
    missing = {path for path in paths if not any((folder / path).exists() for folder in FOLDERS)}
    assert missing - placeholders == set()


def test_the_site_has_every_page():
    listed = re.findall(r'= "([\w-]+\.md)"', (ROOT / "zensical.toml").read_text())
    assert sorted(listed) == sorted(page.name for page in DOCS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_verbs_and_flags_that_exist(page):
    unknown = [problem for command in _commands(page.read_text()) for problem in _unknown(command)]
    assert not unknown


def _commands(text: str) -> list[str]:
    """Every command of `qumade` in a block of code or in backticks, without the name."""
    text = re.sub(r"\\\n\s*", "", text)
    blocks = re.findall(r"^    (?:\S*/)?qumade (.*)$", text, re.MULTILINE)
    return [*blocks, *re.findall(r"`(?:\S+ -m )?qumade ([^`]+)`", text)]


def _unknown(command: str) -> list[str]:
    verb, *words = command.split("#")[0].split()
    if verb in ("VERB", "--help"):
        return []
    if verb not in set(APP):
        return [f"qumade {verb}"]
    flags = [re.match(r"--[\w-]+", word.strip("[]")) for word in words]
    return [f"qumade {verb} {flag[0]}" for flag in flags if flag and flag[0] not in _known_flags(verb)]


@cache
def _known_flags(verb: str) -> set[str]:
    return {"--help", *(name for argument in APP[verb].assemble_argument_collection() for name in argument.names)}


def test_a_command_that_does_not_exist_is_found():
    text = "    qumade generate --out DIR \\\n        --anywhere skip\n\nand `qumade judge RUN`, `qumade stats D`"
    assert [problem for command in _commands(text) for problem in _unknown(command)] == [
        "qumade generate --anywhere",
        "qumade judge",
    ]


@pytest.mark.parametrize("page", ["index.md", "command-line.md"])
def test_pages_name_the_verbs_that_resume(page):
    (sentence,) = re.findall(r"(?:If|one of) (`[^.]*?)(?: was interrupted|\.)", (DOCS / page).read_text())
    assert set(re.findall(r"`([\w-]+)`", sentence)) == RESUMING


def test_the_page_of_the_commands_names_the_verbs_without_json():
    (sentence,) = re.findall(r"(`[^.]*?) do not have it", (DOCS / "command-line.md").read_text())
    assert set(re.findall(r"`(\w+)`", sentence)) == {
        verb for verb in APP if not verb.startswith("-") and "--json" not in _known_flags(verb)
    }


def test_the_page_of_the_api_lists_the_public_names():
    listed = re.findall(r"^\| `(\w+)` \|", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == set(qumade.__all__)


@pytest.mark.slow
def test_the_python_of_the_pages_runs(tmp_path, monkeypatch):
    pages = [ROOT / "README.md", DOCS / "api.md"]
    blocks = {block for page in pages for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)}
    assert blocks
    write_samples(tmp_path / "samples")
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        names: dict[str, object] = {}
        exec(compile(block, "page", "exec"), names)
        assert names["sample"].image.shape == (*names["recipe"].size[::-1], 3)


@pytest.mark.slow
def test_the_way_from_a_recipe_to_scores_runs(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    (code,) = re.findall(r"in one go:\n\n((?:    .*\n|\n)+)", (DOCS / "api.md").read_text())
    for stated, small in (("limit=1000", "limit=40"), ("minutes=10", "steps=2, batch_size=4, size=(32, 32)")):
        assert stated in code
        code = code.replace(stated, small)
    write_samples(tmp_path / "samples")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(textwrap.dedent(code), "api.md", "exec"), names)
    assert names["found"].groups[0].name == "all" and names["found"].report.is_file()
    assert Path("model.onnx").is_file()


def test_the_yaml_of_the_pages_is_valid():
    recipe, config = (yaml.safe_load(_first_yaml(DOCS / page)) for page in ("recipe.md", "train-config.md"))
    assert Recipe.model_validate(recipe).objects == (1, 3)
    assert TrainConfig.model_validate(config).extra_datasets[0].share == 0.1


def _first_yaml(page: Path) -> str:
    return re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)[0]

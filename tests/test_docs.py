from pathlib import Path

import pytest

from qumade.data.manifest import MANIFEST_SCHEMA
from qumade.recipe import Recipe

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("field", Recipe.model_fields)
def test_the_page_of_the_recipe_has_every_field(field):
    assert f"| `{field}` |" in (DOCS / "recipe.md").read_text()


@pytest.mark.parametrize("column", MANIFEST_SCHEMA.names)
def test_the_page_of_datasets_has_every_column_of_the_manifest(column):
    assert f"`{column}`" in (DOCS / "dataset.md").read_text()


def test_pages_name_pictures_and_pages_that_exist():
    root = DOCS.parent
    for page in [root / "README.md", *DOCS.glob("*.md")]:
        for target in _targets(page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} names {target}"


def _targets(text: str) -> list[str]:
    return [part.split(")")[0] for part in text.split("](")[1:] if not part.startswith("http")]

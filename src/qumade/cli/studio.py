"""The verb studio."""

from pathlib import Path

from qumade.extras import needs

__all__: list[str] = []


def studio(
    path: Path | None = None,
    /,
    *,
    out: Path = Path("studio"),
    open: tuple[Path, ...] = (),
    host: str = "localhost",
    port: int | None = None,
    browser: bool = True,
) -> None:
    """Opens a page in the browser: assets, samples of a recipe, trainings, datasets, predictions.

    Example: `qumade studio samples/recipe.yaml`

    The page reads and writes only below the folder of the given path, the folders of the recipe's assets, --out and
    --open.

    Parameters
    ----------
    path
        A recipe, a project of `qumade start`, a dataset, a training run, or a folder of them; the current folder by
        default.
    out
        Folder for what the page writes: recipes, jobs, datasets and runs.
    open
        A further folder to open; may be repeated.
    host
        Name or address to serve to other machines. The printed address then holds a token; whoever has it can do
        everything that the page can. Use it only in a network that you trust: the connection is not encrypted.
    port
        Port of the page; a free one by default.
    browser
        Open the page in the browser.
    """
    with needs("studio", "the studio"):
        import nicegui  # noqa: F401 - reported before anything is read
    from qumade.studio.opened import open_path, start_of
    from qumade.studio.server import serve
    from qumade.studio.state import Studio

    start = start_of(Path.cwd() if path is None else path)
    opened, kind = open_path(start, out, open)
    serve(Studio(opened, start.absolute(), kind), host=host, port=port, show=browser)

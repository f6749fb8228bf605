"""The `qumade` command and its verbs. A verb is imported only when it is called, so --help is fast."""

from collections.abc import Collection
from importlib import import_module

from cyclopts import App, Parameter

from qumade import __version__

__all__ = ["RESUMING", "VERBS", "make_app"]

VERBS = {
    "start": ("starting:start", "Makes a project from a folder of photos and a folder of objects."),
    "demo": ("assets:demo", "Runs the whole pipeline on the bundled samples."),
    "samples": ("assets:samples", "Writes the bundled samples."),
    "check": ("assets:check", "Audits assets: names every file that cannot be used or looks wrong."),
    "generate": ("datasets:generate", "Composes a dataset of images, masks and depth."),
    "preview": ("datasets:preview", "Draws a contact sheet of a recipe or of a dataset."),
    "audit": ("datasets:audit", "Finds missing, truncated and unexpected files; redraws and compares samples."),
    "stats": ("datasets:stats", "Measures mean and standard deviation of images, masks and depth."),
    "layout": ("layouts:layout", "Learns number, size and place of the objects in real pictures."),
    "train": ("training:train", "Trains one network for mask and depth."),
    "evaluate": ("evaluating:evaluate", "Evaluates a trained network on a dataset."),
    "compare": ("evaluating:compare", "Compares networks on datasets."),
    "adapt": ("networks:adapt", "Adapts a network to photos without labels, without training it."),
    "predict": ("networks:predict", "Predicts masks and depth of images and clips."),
    "export": ("networks:export", "Writes a network as one .onnx file."),
    "studio": ("studio:studio", "Opens a page in the browser: assets, samples, trainings, datasets, predictions."),
    "import": ("importing:import_", "Converts a standard dataset into a QuMaDe dataset."),
    "convert": ("converting:convert", "Converts a dataset to tar shards and back, or to the format of another tool."),
    "cutouts": ("importing:cutouts", "Cuts complete objects out of labelled photos."),
}
"""The function that runs each verb, and its line in `qumade --help`."""


RESUMING = {"start", "demo", "generate", "train", "predict", "import", "convert"}
"""The verbs that keep what an interrupted command has done. The others start over."""


def make_app(loaded: Collection[str] = VERBS) -> App:
    """Return the command with all verbs. Only the `loaded` verbs are imported; the others show one line of help and
    cannot be called."""
    app = App(
        name="qumade",
        version=__version__,
        help="Datasets of image, mask and depth, composed from a folder of background photos and a folder of cut-outs.",
        default_parameter=Parameter(negative_iterable=()),
        suppress_keyboard_interrupt=False,  # main says how to resume
    )
    for verb, (path, line) in VERBS.items():
        module, _, function = path.partition(":")
        if verb in loaded:
            app.command(getattr(import_module(f"qumade.cli.{module}"), function), name=verb)
        else:
            app.command(f"qumade.cli.{path}", name=verb, help=line)
    return app

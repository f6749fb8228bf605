"""QuMaDe: datasets of image, mask and depth composed from background photos and cut-outs.

The names below are the public API; everything else is internal. Each is imported when it is first used, so that
`import qumade` stays fast and generating needs no torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from qumade.extras import missing

if TYPE_CHECKING:
    from qumade.convert.importers import import_dataset
    from qumade.data.opening import open_dataset
    from qumade.evaluation.runs import compare, evaluate
    from qumade.generation.audit import audit
    from qumade.generation.engine import generate
    from qumade.notebook import show_batch, show_results
    from qumade.prediction.export import export
    from qumade.prediction.predictor import load_predictor
    from qumade.recipe import Recipe
    from qumade.synth.synthesizer import Synthesizer
    from qumade.training.config import TrainConfig
    from qumade.training.loop import train

_MODULES = {
    "Recipe": "recipe",
    "Synthesizer": "synth.synthesizer",
    "TrainConfig": "training.config",
    "audit": "generation.audit",
    "compare": "evaluation.runs",
    "evaluate": "evaluation.runs",
    "export": "prediction.export",
    "generate": "generation.engine",
    "import_dataset": "convert.importers",
    "load_predictor": "prediction.predictor",
    "open_dataset": "data.opening",
    "show_batch": "notebook",
    "show_results": "notebook",
    "train": "training.loop",
}

__all__ = [
    "Recipe",
    "Synthesizer",
    "TrainConfig",
    "audit",
    "compare",
    "evaluate",
    "export",
    "generate",
    "import_dataset",
    "load_predictor",
    "open_dataset",
    "show_batch",
    "show_results",
    "train",
]

__version__ = version("qumade")


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'qumade' has no attribute {name!r}")
    try:
        return getattr(import_module(f"qumade.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        raise missing(error, f"qumade.{name}") or error from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

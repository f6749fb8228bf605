"""QuMaDe: datasets of image, mask and depth composed from background photos and cut-outs.

The names below are the public API; everything else is internal. Each is imported when it is first used, so that
`import qumade` stays quick and generating needs no torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qumade.data.opening import open_dataset
    from qumade.generate.audit import audit
    from qumade.generate.engine import generate
    from qumade.recipe import Recipe
    from qumade.synth.synthesizer import Synthesizer

_MODULES = {
    "Recipe": "recipe",
    "Synthesizer": "synth.synthesizer",
    "audit": "generate.audit",
    "generate": "generate.engine",
    "open_dataset": "data.opening",
}

__all__ = ["Recipe", "Synthesizer", "audit", "generate", "open_dataset"]

__version__ = version("qumade")


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'qumade' has no attribute {name!r}")
    return getattr(import_module(f"qumade.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

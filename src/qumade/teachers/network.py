"""Networks of the transformers library: finding them on disk, loading them safely, running them in batches."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub import snapshot_download
from transformers import AutoConfig, AutoImageProcessor
from transformers.utils import logging

from qumade.errors import QumadeError, RunError

__all__ = ["default_batch_size", "find_model", "load_network", "load_processor", "model_files", "read_config", "run"]

# Loading takes a moment; the bars that count are those of pictures.
logging.disable_progress_bar()  # type: ignore[no-untyped-call]

T = TypeVar("T")

_MODEL_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = ("*.json", "*.safetensors")

# Weights that networks never use in prediction and that some published checkpoints lack: the first
# fusion layer of DPT has no second input, mask tokens and auxiliary heads serve training.
_UNUSED = re.compile(
    r"fusion_stage\.layers\.0\.residual_layer1\.|mask_token$|auxiliary_head\.|num_batches_tracked$|position_ids$"
    r"|relative_position_index$|pooler\."
)


def find_model(model: str | Path, *, download: bool = False) -> Path:
    """The folder of a model: `model` itself, or where the hub's cache keeps the model of that name (ORG/NAME).

    Nothing is fetched unless `download`. Raises QumadeError, with the command that fetches it, for a model that is not
    on disk, and for one without safetensors: pickled weights can run code and are not read.
    """
    if Path(model).is_dir():
        folder = Path(model).absolute()
    elif not isinstance(model, str) or not _MODEL_ID.fullmatch(model):
        raise RunError(f"Invalid model: got {str(model)!r}; must be a folder, ORG/NAME or a file that ends in .onnx")
    else:
        try:
            folder = Path(snapshot_download(model, allow_patterns=list(_FILES), local_files_only=not download))
        except Exception as error:  # the hub's client raises errors of many libraries
            why = f" ({str(error).splitlines()[0]})" if download else ""
            raise _not_on_disk(model, why) from error
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        if folder != Path(model).absolute():
            raise _not_on_disk(str(model), " as safetensors")
        raise RunError(f"Invalid model: got {folder}; must hold config.json and *.safetensors")
    return folder


def _not_on_disk(model: str, why: str) -> QumadeError:
    return RunError(
        f"Invalid model: got {model}, which is not on disk{why}; fetch it with --download, or with: hf download {model}"
    )


def model_files(folder: Path) -> list[Path]:
    """The files of a model that decide what it predicts."""
    return [file for pattern in _FILES for file in folder.glob(pattern)]


def read_config(folder: Path) -> Any:
    """A model's configuration, without running code that comes with the model."""
    return _guarded(folder, lambda: AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False))


def load_processor(folder: Path) -> Any:
    """What turns pictures into a model's input and its output into maps."""
    processors: Any = AutoImageProcessor
    return _guarded(folder, lambda: processors.from_pretrained(folder, local_files_only=True, trust_remote_code=False))


def load_network(auto_class: Any, folder: Path) -> torch.nn.Module:
    """A network with its weights, ready to predict, on the GPU where there is one.

    Raises QumadeError when weights are missing or of another shape, as they are when a checkpoint was trained for
    something else: the library would make them up.
    """
    network, report = _guarded(
        folder,
        lambda: auto_class.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        ),
    )
    missing = sorted(key for key in report["missing_keys"] if not _UNUSED.search(key))
    missing += sorted(str(key) for key, *_ in report["mismatched_keys"])
    if missing:
        raise RunError(
            f"Invalid model: got no weights for {missing[0]} and {len(missing) - 1} more in {folder}; "
            "must be a checkpoint that was trained for this"
        )
    loaded: torch.nn.Module = network.eval().to(_device())
    return loaded


def _guarded(folder: Path, load: Callable[[], T]) -> T:
    try:
        return load()
    except Exception as error:  # a damaged folder makes transformers raise nearly anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError(f"Invalid model: got {reason!r} in {folder}; must be a model of transformers") from error


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_batch_size() -> int:
    """Return the default number of pictures in a forward pass: batches are only faster on a GPU."""
    return 8 if torch.cuda.is_available() else 1


def run(network: torch.nn.Module, inputs: Sequence[torch.Tensor], batch_size: int) -> Iterator[tuple[list[int], Any]]:
    """Predict inputs [3, H, W] in batches of equal shape: which inputs a batch held, and its output, float32 on CPU.

    On a GPU in bfloat16, except where autocast knows that more is needed.
    """
    shapes: dict[torch.Size, list[int]] = {}
    for i, one in enumerate(inputs):
        shapes.setdefault(one.shape, []).append(i)
    device = next(network.parameters()).device
    for members in shapes.values():
        for start in range(0, len(members), batch_size):
            batch = members[start : start + batch_size]
            pixels = torch.stack([inputs[i] for i in batch]).to(device)
            with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
                output = network(pixel_values=pixels)
            for name, value in list(output.items()):
                if isinstance(value, torch.Tensor):
                    output[name] = value.float().cpu()
            yield batch, output

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qumade.errors import QumadeError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qumade.teachers import network  # noqa: E402


def test_a_folder_is_found(saved_model: Any) -> None:
    assert network.find_model(saved_model("dpt")) == saved_model("dpt")
    assert network.find_model(str(saved_model("dpt"))) == saved_model("dpt")


@pytest.fixture
def empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_model_that_is_not_on_disk_gets_the_command_that_fetches_it(empty_hub: Path) -> None:
    with pytest.raises(QumadeError, match=r"with --download, or with: hf download some-org/some-model$") as caught:
        network.find_model("some-org/some-model")
    assert "\n" not in str(caught.value)


def test_a_model_in_the_hubs_cache_is_found_without_fetching(saved_model: Any, empty_hub: Path) -> None:
    repository = empty_hub / "models--org--tiny"
    shutil.copytree(saved_model("dpt"), repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert network.find_model("org/tiny") == repository / "snapshots" / "abc"
    (repository / "snapshots" / "abc" / "model.safetensors").unlink()
    with pytest.raises(QumadeError, match=r"not on disk as safetensors; fetch it .* hf download org/tiny"):
        network.find_model("org/tiny")


def test_only_download_fetches(saved_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def snapshot_download(model: str, *, allow_patterns: list[str], local_files_only: bool) -> str:
        asked.append(local_files_only)
        assert allow_patterns == ["*.json", "*.safetensors"]
        return str(saved_model("dpt"))

    monkeypatch.setattr(network, "snapshot_download", snapshot_download)
    network.find_model("org/tiny")
    network.find_model("org/tiny", download=True)
    assert asked == [True, False]


@pytest.mark.parametrize("model", ["no-folder", "a/b/c", "https://example.com/x", "../x/../y", ""])
def test_anything_but_a_model_is_refused(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if model == "":
        model = str(tmp_path / "missing")
    with pytest.raises(QumadeError, match="must be a folder, ORG/NAME"):
        network.find_model(model)


def test_pickled_weights_are_refused(saved_model: Any, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(saved_model("dpt"), folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(QumadeError, match=r"must hold config\.json and \*\.safetensors"):
        network.find_model(folder)


def test_code_that_comes_with_a_model_is_not_run(saved_model: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(saved_model("dpt"), folder)
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    (folder / "config.json").write_text('{"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}')
    with pytest.raises(QumadeError, match="Invalid model"):
        network.read_config(folder)


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "preprocessor_config.json"])
def test_damaged_files_are_refused_by_name(damage: str, saved_model: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(saved_model("dpt"), folder)
    (folder / damage).write_bytes((folder / damage).read_bytes()[:20])
    with pytest.raises(QumadeError, match=str(folder)) as caught:
        network.read_config(folder)
        network.load_processor(folder)
        network.load_network(transformers.AutoModelForDepthEstimation, folder)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_without_a_head_is_refused(saved_model: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(saved_model("dpt"), folder)
    weights = load_file(folder / "model.safetensors")
    unused = "neck.fusion_stage.layers.0.residual_layer1."
    kept = {name: value for name, value in weights.items() if not name.startswith(unused)}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    network.load_network(transformers.AutoModelForDepthEstimation, folder)
    without = {name: value for name, value in kept.items() if not name.startswith("head.")}
    save_file(without, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(QumadeError, match=r"got no weights for head\."):
        network.load_network(transformers.AutoModelForDepthEstimation, folder)


def test_inputs_are_batched_by_shape() -> None:
    seen = []

    class Echo(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, pixel_values: Any) -> Any:
            seen.append(tuple(pixel_values.shape))
            return transformers.utils.ModelOutput(mean=pixel_values.mean((1, 2, 3)) * self.weight, note=None)

    inputs = [torch.full((3, 4, 4 + i % 2), float(i)) for i in range(7)]
    found = {}
    for members, output in network.run(Echo(), inputs, 2):
        assert output["mean"].dtype == torch.float32 and not output["mean"].requires_grad
        found.update(zip(members, output["mean"].numpy(), strict=True))
    np.testing.assert_allclose([found[i] for i in range(7)], np.arange(7))
    assert sorted(seen) == sorted([(2, 3, 4, 4), (2, 3, 4, 4), (2, 3, 4, 5), (1, 3, 4, 5)])

"""Networks of every family, tiny and with random weights, saved as the published ones are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def depth_network(family: str) -> tuple[Any, Any]:
    import transformers as t

    dino = {
        "model_type": "dinov2",
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "mlp_ratio": 2,
        "image_size": 28,
        "patch_size": 14,
        "out_features": ["stage1", "stage2"],
        "reshape_hidden_states": False,
    }
    neck: dict[str, Any] = {"neck_hidden_sizes": [8] * 4, "fusion_hidden_size": 8}
    if family.startswith("depth_anything"):
        config = t.DepthAnythingConfig(
            backbone_config=t.Dinov2Config(**dino),
            reassemble_hidden_size=8,
            neck_hidden_sizes=[8, 8],
            reassemble_factors=[1, 0.5],
            fusion_hidden_size=8,
            head_hidden_size=4,
            patch_size=14,
            **({"depth_estimation_type": "metric", "max_depth": 80} if family.endswith("metric") else {}),
        )
        size = {"height": 56, "width": 56}
        return t.DepthAnythingForDepthEstimation(config), t.DPTImageProcessor(
            size=size, ensure_multiple_of=14, keep_aspect_ratio=True
        )
    if family == "dpt":
        config = t.DPTConfig(
            hidden_size=8,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=8,
            image_size=32,
            patch_size=8,
            backbone_out_indices=[0, 1, 2, 3],
            **neck,
        )
        return t.DPTForDepthEstimation(config), t.DPTImageProcessor(size={"height": 32, "width": 32})
    if family == "dpt_dinov2":
        stages = {"num_hidden_layers": 4, "out_features": ["stage1", "stage2", "stage3", "stage4"]}
        backbone = t.Dinov2Config(**{**dino, **stages})
        neck["fusion_hidden_size"] = 256  # the projection's fixed width
        config = t.DPTConfig(backbone_config=backbone, add_projection=True, **neck)
        return t.DPTForDepthEstimation(config), t.DPTImageProcessor(do_resize=False, do_pad=True, size_divisor=14)
    if family == "zoedepth":
        beit = t.BeitConfig(
            hidden_size=8,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=8,
            image_size=32,
            patch_size=8,
            out_features=["stage1", "stage2", "stage3", "stage4"],
            reshape_hidden_states=False,
            use_relative_position_bias=True,
        )
        config = t.ZoeDepthConfig(
            backbone_config=beit,
            bottleneck_features=8,
            num_relative_features=8,
            patch_transformer_hidden_size=8,
            patch_transformer_intermediate_size=8,
            patch_transformer_num_attention_heads=2,
            bin_embedding_dim=8,
            num_attractors=[4, 2, 2, 1],
            **neck,
        )
        return t.ZoeDepthForDepthEstimation(config), t.ZoeDepthImageProcessor(size={"height": 64, "width": 64})
    if family.startswith("depth_pro"):
        encoder = {"model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 1}
        encoder |= {"patch_size": 4, "image_size": 16}
        config = t.DepthProConfig(
            patch_size=16,
            fusion_hidden_size=16,
            intermediate_hook_ids=[1, 0],
            intermediate_feature_dims=[10, 8],
            scaled_images_ratios=[0.5, 1.0],
            scaled_images_overlap_ratios=[0.0, 0.2],
            scaled_images_feature_dims=[12, 12],
            use_fov_model=family == "depth_pro",
            image_model_config=encoder,
            patch_model_config=encoder,
            fov_model_config=encoder,
        )
        return t.DepthProForDepthEstimation(config), t.DepthProImageProcessor(size={"height": 64, "width": 64})
    raise ValueError(family)


def segmentation_network(family: str) -> tuple[Any, Any]:
    import transformers as t

    names: dict[str, Any] = {"id2label": {0: "road", 1: "sky", 2: "car"}, "label2id": {"road": 0, "sky": 1, "car": 2}}
    if family == "segformer":
        config = t.SegformerConfig(
            num_encoder_blocks=2,
            depths=[1, 1],
            sr_ratios=[2, 1],
            hidden_sizes=[8, 8],
            num_attention_heads=[1, 1],
            patch_sizes=[7, 3],
            strides=[4, 2],
            mlp_ratios=[2, 2],
            decoder_hidden_size=8,
            **names,
        )
        return t.SegformerForSemanticSegmentation(config), t.SegformerImageProcessor(size={"height": 64, "width": 64})
    if family == "mobilenet_v2":
        config = t.MobileNetV2Config(depth_multiplier=0.1, image_size=64, **names)
        processor = t.MobileNetV2ImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
        return t.MobileNetV2ForSemanticSegmentation(config), processor
    if family == "mask2former":
        swin = t.SwinConfig(
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 1, 1],
            window_size=4,
            out_features=["stage1", "stage2", "stage3", "stage4"],
        )
        config = t.Mask2FormerConfig(
            backbone_config=swin,
            hidden_dim=32,
            feature_size=32,
            mask_feature_size=32,
            encoder_layers=1,
            decoder_layers=2,
            num_attention_heads=1,
            dim_feedforward=8,
            encoder_feedforward_dim=8,
            num_queries=5,
            **names,
        )
        processor = t.Mask2FormerImageProcessor(size={"height": 64, "width": 64}, num_labels=3)
        return t.Mask2FormerForUniversalSegmentation(config), processor
    raise ValueError(family)


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny network of a family."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            torch.manual_seed(0)
            build = segmentation_network if family in ("segformer", "mobilenet_v2", "mask2former") else depth_network
            network, processor = build(family)
            made[family] = tmp_path_factory.mktemp(family)
            network.save_pretrained(made[family])
            processor.save_pretrained(made[family])
        return made[family]

    return folder


def ramp(width: int, height: int) -> np.ndarray:
    """Grey that grows to the right from 60 to 200, with a dark band across at the lower quarter."""
    picture = np.repeat(np.linspace(60, 200, width)[None], height, 0)
    picture[3 * height // 4 :] *= 0.5
    return np.repeat(picture[..., None], 3, 2).round().astype(np.uint8)


@pytest.fixture
def pictures() -> list[np.ndarray]:
    """Pictures of three sizes; two are alike in size."""
    return [ramp(90, 60), ramp(64, 96), ramp(90, 60)[:, ::-1].copy()]


@pytest.fixture
def picture_files(tmp_path: Path, pictures: list[np.ndarray]) -> list[Path]:
    """The same as files."""
    files = [tmp_path / f"photo_{i}.png" for i in range(len(pictures))]
    for file, picture in zip(files, pictures, strict=True):
        Image.fromarray(picture).save(file)
    return files

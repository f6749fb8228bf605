"""Exports datasets to the formats of other tools: one module per format, and a common run that can be resumed."""

from typing import Literal

__all__ = ["FormatName"]

FormatName = Literal["coco", "yolo", "yolo-detect", "voc", "hf", "kitti-depth", "ultralytics-depth"]

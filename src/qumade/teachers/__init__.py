"""Networks that label pictures: depth and segmentation, through transformers or ONNX Runtime."""

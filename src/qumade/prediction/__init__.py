"""Pictures in, masks and depth out; export to ONNX."""

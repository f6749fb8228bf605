"""Draw samples: the pixel kernel, cut-out pyramids and layered depth."""

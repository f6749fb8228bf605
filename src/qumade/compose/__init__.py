"""How a sample is drawn: the pixel kernel, the pyramid, layered depth."""

"""Depth kinds, depth encodings, and the codec between inverse depth and grey levels."""

"""What depth values mean: kinds, encodings, and the codec from inverse depth to grey levels and back."""

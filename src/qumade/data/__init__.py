"""Datasets: layout on disk, reading, augmentation, batches and statistics."""

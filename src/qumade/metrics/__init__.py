"""Scores of one picture: masks and depth against ground truth, with alignment and clamps. Without torch."""

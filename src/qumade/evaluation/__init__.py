"""Evaluation of networks: scores, comparison, report."""

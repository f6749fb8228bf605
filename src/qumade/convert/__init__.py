"""Converts other data: importers of standard datasets, and cut-outs from labelled photos."""

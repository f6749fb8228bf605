"""Other formats in and out: importers, and cut-outs from labelled photos."""

"""Where objects go: index arithmetic, random numbers, placement, manifest rows."""

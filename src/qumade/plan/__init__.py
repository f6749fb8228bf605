"""Where objects go: index arithmetic, random numbers, splits, placement."""

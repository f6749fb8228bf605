"""Turn a recipe into samples in memory: connects assets, plan and compose."""

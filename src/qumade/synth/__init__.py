"""Where assets, plan and compose meet: from a recipe to samples in memory."""

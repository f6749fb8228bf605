"""Effects on composites. Each is one function of pixels and the parameters that `qumade.plan.effects` drew."""

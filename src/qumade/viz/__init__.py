"""Every sheet and plot."""

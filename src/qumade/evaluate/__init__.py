"""How good a network is: metrics, comparison, report."""

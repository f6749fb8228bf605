"""Reading datasets back: layout, statistics, preview."""

"""Backgrounds and foregrounds: reading, auditing, identities, catalog, bundled samples."""

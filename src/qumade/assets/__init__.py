"""What can be pasted on what: reading, auditing, identities, catalog, bundled samples."""

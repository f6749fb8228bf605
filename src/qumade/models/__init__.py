"""The networks, their configs, and the size at which they see a picture."""

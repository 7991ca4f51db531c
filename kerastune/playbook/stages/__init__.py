"""The stages, a file each, and their registry."""

"""Members of the same architecture as one model, for serving."""

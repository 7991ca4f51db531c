"""The study on disk: one SQLite file, and the output directory around it."""

"""What targets are, how they are prepared, and how much every class counts."""

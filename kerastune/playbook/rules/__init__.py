"""What several stages share: searches over settings, and comparisons of trainings."""

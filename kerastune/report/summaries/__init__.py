"""What a search found in a few words: verdict, rows of stages, what was not chosen and why."""

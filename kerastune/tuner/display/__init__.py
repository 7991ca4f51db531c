"""What a search shows on the screen while it runs."""

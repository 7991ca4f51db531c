"""The only room that calls `fit`."""

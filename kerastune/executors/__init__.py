"""Executors: where segments are trained, one after another here, or several at once in workers."""

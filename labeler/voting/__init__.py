"""Storing and undoing answers."""

"""Flags: people say that something is wrong with an image."""

"""Data sets and their image files."""

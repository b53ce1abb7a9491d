"""Assigning images: which ones a person gets next, for how long, and how they are presented."""

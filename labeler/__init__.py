"""The labelling site: who gets which image, what they said, and what it adds up to."""

__version__ = "0.1.0"

"""Subsets: a filter of images kept under a name, live or frozen."""

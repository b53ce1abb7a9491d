"""Turning one head: the three editing methods and the pipeline around them."""

"""Turning one head: the editing methods and the pipeline around them."""

"""Many images of one label on a page: a person marks the wrong ones."""

"""The verify grid: many images of one label on a page. A person marks the wrong ones."""

"""Frames as pictures: sheets, files, colours, measures."""

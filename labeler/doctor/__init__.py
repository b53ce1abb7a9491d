"""Checks of a site, each with what to do about it."""

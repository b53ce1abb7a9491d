"""Figures: arrays in, arrays and pictures out; no SQL and no Flask."""

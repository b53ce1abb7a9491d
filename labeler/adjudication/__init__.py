"""Supervisors decide what the votes could not."""

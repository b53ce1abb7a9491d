"""Adjudication: supervisors decide contested images."""

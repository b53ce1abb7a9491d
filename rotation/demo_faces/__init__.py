"""Faces that the bundled model of real faces drew from noise, the demo data set; no photograph."""

"""Faces that the bundled model of real faces drew from noise, the demo data set; no photograph."""

from rotation.sampled.dataset import count_faces, write_faces

__all__ = ["count_faces", "write_faces"]

"""Turning the head in a photograph by its geometry: depth, layers, and a warp with a depth test."""

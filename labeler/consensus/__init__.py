"""What the votes on each image add up to."""

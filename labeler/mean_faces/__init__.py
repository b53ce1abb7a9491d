"""The mean face of each light and pose: select images, add them up, draw and store the figure."""

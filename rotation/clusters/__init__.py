"""Clusters: images of other people at each yaw, selected, weighted and averaged."""

"""The progress of campaigns and of people."""

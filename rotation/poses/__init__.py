"""Yaw, pitch and roll of heads, and where they come from."""

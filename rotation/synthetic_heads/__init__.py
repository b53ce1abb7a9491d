"""Synthetic heads: rendered faces whose yaw, light and identity are known."""

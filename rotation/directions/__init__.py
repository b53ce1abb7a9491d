"""Directions: how a latent changes per degree of yaw. Fitting, reliability, storage."""

"""Encoders from images to latents, and a store that keeps latents on disk."""

"""Sidelight's rotation engine: turns heads along directions in a diffusion model's latent space."""

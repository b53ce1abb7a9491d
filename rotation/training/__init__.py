"""Training: diffusion models and embedding networks."""

"""From images to latents: encoders, and a store that keeps each latent."""

"""How a latent changes per degree of yaw: fitting, judging and keeping directions."""

"""The diffusion model: network, noise schedule, DDIM sampling and its inversion."""

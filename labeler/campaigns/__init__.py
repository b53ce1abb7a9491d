"""Campaigns: their life, their images, who takes part."""

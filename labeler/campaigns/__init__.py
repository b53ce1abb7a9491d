"""Campaigns: creating and editing them, their images, and who takes part."""

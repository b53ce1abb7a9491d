"""Images as arrays and files: sheets, animations, colours, finishing and metrics."""

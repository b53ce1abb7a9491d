"""The command line: one module for each area; `main` mounts them all."""

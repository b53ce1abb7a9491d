"""Which images a person gets next, for how long, and how they are shown."""

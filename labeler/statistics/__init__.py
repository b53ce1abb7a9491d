"""Statistics over votes: arrays in, numbers out. No SQL, no Flask."""

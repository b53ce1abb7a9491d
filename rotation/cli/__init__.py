"""Commands of the rotation engine."""

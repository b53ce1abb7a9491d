"""How far the work is, for a campaign and for a person."""

"""Messages between people and supervisors, one thread for each person."""

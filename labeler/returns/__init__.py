"""Returned answers: a supervisor sends answers back, to be looked at again."""

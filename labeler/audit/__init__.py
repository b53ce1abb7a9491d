"""The audit log: events that concern the safety of the site and its data."""

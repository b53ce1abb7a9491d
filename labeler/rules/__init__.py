"""The rules of a campaign as plain values. No database and no Flask."""

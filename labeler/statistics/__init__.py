"""Statistics of votes. Functions take and return arrays; they use no database and no Flask."""

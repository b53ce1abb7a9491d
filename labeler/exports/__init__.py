"""Labels and votes as CSV files."""

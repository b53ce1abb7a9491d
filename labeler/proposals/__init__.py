"""Model runs: trained on votes, published, rolled back."""

"""Voting: storing and undoing the answers of annotators."""

"""Accounts, invites, sessions, passwords."""

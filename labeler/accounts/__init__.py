"""Accounts: people and their roles, invites, passwords, and sessions of browsers."""

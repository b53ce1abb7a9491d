"""The database: engine, transactions, locks and migrations."""

"""Engine, transactions, locks, migrations."""

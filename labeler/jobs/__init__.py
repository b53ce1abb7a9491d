"""Background jobs: the queue in the database, the kinds of jobs, and the worker."""

"""Backup and restore: the archive, the copy of the database, the files of the home folder."""

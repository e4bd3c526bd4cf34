"""Sweeps: the folders of their jobs, and the report at their end."""

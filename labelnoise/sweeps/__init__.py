"""Sweeps: the launcher of their jobs, their folders, their ledger, and the report at their end."""

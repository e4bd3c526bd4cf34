"""Sweeps: the launcher of their jobs, their folders, ledger, report and search."""

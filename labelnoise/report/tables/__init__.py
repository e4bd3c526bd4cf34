"""Tables of runs: summaries, settings, suspects, comparisons."""

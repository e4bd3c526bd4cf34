"""Numbers of runs for people: summaries, settings, suspects, comparisons."""

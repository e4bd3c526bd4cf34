"""Many runs: where each job of a sweep lies, and the report at its end."""

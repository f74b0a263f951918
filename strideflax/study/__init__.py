"""Many runs: sweeps, their results, statistics on them, the report."""

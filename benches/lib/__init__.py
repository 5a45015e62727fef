"""Parts of the benchmark runner; standard library only."""

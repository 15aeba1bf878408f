"""Benchmarks: asv suites (`bench_*`), and scripts that print a table each."""

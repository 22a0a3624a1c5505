"""The benchmarks: what `make bench` measures, side by side with its peers. docs/benchmarks.md says what counts."""

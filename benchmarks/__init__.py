"""Speed of this suite's training against its peers: `python -m benchmarks.bench`."""

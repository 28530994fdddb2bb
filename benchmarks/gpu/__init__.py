"""The GPU run: speed, agreement with the CPU, and cells at the `paper` budget."""

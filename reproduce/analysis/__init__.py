"""What is done with any curve: published values, comparisons, the look of figures."""

"""The estimators of log p(x) against exact answers."""

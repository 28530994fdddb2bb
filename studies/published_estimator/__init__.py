"""The 2013 code's estimator of log p(x), applied to our models."""

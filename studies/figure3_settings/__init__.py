"""Which settings the published runs of Figure 3 had: candidates beside its first exact points."""

"""The curves of the paper's Figures 2 and 3, read vertex by vertex from its PDF."""

"""How training time grows with the sizes of a network."""

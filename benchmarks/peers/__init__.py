"""What the suite's speed is compared with: the same model as users of other libraries write it."""

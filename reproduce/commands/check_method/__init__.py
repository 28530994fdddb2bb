"""The verb check-method: what is wrong with a method, in a minute."""

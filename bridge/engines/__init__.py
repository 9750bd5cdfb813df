"""The engines; each knows itself alone."""

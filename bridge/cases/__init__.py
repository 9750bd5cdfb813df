"""Published cases: how each printed number is computed from fits and data, and its state."""

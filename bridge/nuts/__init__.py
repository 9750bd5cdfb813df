"""The location-scale model for NUTS."""

"""The trainer: every stage from pictures to a world, on accelerate."""

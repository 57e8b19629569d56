"""The full-size rehearsal, opt-in: real layouts and sizes with seeded random weights."""

"""One folder per story system, the same file names in each, in the order of the flow."""

"""The benchmark: the reference's schedule and ours on the same random weights, in one run."""

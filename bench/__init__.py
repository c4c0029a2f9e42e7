"""Side-by-side measurements: the same work, in one run, alternating; medians of ratios. Never a test."""

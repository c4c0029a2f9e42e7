"""What runs say about a variant: means, paired differences, intervals, verdicts. Arrays in, numbers out; no torch."""

"""Typed notes about runs and variants. `ablate.report.notes` renders them."""

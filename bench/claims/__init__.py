"""The book of claims: what the field notes say, tested by recipes, answered by their tables. ``make claims``,
docs/claims.md.
"""

"""The same rows of a recipe, trained by each of the ways that a user has: a file each, run as a program of its own
(`bench.rivals.work`).
"""

"""What a user has who did not begin with `ablate`: networks, data, a training script (`loop.py`), the same with skorch,
and recipes that name the networks and data. `bench.own` copies the folder and times them.
"""

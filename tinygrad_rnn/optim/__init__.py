"""Optimizers, clippers and a moving average, which work on all parameters as one vector; schedules, and `plateau`."""

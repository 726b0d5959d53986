"""Losses, a file each; `elementwise` is the base of those of numbers, `reduction` what all share."""

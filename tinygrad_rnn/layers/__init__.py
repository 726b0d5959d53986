"""Layers that know no time, and the roles that every layer plays."""

"""The second seed's class, on top of everything."""

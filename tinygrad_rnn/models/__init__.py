"""Compositions of layers: `Sequential`, `Residual`, `Bidirectional`, and encoder, decoders and the bridge between."""

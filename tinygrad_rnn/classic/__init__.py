"""`VanillaRNN`, a single class that trains itself, built from the parts of the package."""

"""Models of Keras 3, in and out, by h5py alone."""

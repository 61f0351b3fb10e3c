"""Where optimizers that were pickled before look for a class."""

"""A whole step on JAX arrays."""

"""What `rmsprop.jax` is made of."""

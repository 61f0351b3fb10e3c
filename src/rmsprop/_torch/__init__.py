"""What `rmsprop.torch` is made of, and the steps of `rmsprop.keras` on torch."""

"""What `rmsprop.keras` is made of."""

"""What `rmsprop.numpy` is made of."""

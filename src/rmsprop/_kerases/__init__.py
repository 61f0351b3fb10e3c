"""What `rmsprop.tf_keras` and `rmsprop.keras` have in common."""

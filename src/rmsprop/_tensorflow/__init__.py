"""Steps on TensorFlow's variables, for `rmsprop.tf_keras` and `rmsprop.keras`."""

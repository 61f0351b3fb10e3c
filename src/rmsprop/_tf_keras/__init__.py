"""What `rmsprop.tf_keras.RMSprop` is made of: learning rates, state, and the pairs of a step, as tf_keras has them."""

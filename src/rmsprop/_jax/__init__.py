"""What `rmsprop.jax` is made of, and the steps of `rmsprop.keras` on JAX, which import no optax."""

"""A whole step on TensorFlow's variables: natively by our kernels, or by the rule traced into a graph."""

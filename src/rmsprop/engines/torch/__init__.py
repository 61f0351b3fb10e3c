"""A whole step on torch's tensors: the CPU's in place by the kernels, any other device's by torch's operations."""

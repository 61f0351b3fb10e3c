"""A whole step on torch's tensors: the CPU's in place by kernels, CUDA's by kernels, others by torch's operations."""

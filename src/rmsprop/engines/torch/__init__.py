"""Steps on PyTorch's tensors, by the kind of device that holds them."""

"""What `rmsprop.torch.RMSprop` is made of: arguments, parameter groups and checkpoints, as torch has them."""

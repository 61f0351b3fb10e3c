"""Files that hold an optimizer's state."""

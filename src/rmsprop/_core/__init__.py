"""What no framework is needed for."""

"""Training on photos without labels."""

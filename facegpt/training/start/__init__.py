"""What training starts from: a small model, a checkpoint, a mean of checkpoints, a backbone with adapters."""

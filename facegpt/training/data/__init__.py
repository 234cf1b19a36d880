"""What training learns from: pools, augmentation, a cache of rendered faces, written labels."""

"""The training data: a cache of rendered faces, the pool that batches are drawn from, augmentation, written text."""

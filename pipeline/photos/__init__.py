"""Photos beside a run: read again, labelled, or cut for training."""

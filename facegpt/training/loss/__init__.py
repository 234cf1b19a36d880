"""The losses of training, and which of them each stage descends."""

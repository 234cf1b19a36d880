"""The second stage: from crops to rows of `faces`; where models come from."""

"""Speed of a run: stage by stage, end to end beside loops over the same functions, the start, and memory."""

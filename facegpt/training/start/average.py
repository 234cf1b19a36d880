"""The mean of several checkpoints' weights, to start from."""

from __future__ import annotations

import torch

from facegpt.model.checkpoint import Checkpoint


def average_checkpoints(parts: list[Checkpoint]) -> Checkpoint:
    """Gives the first of `parts` (one at least) the mean of all their weights, and returns it; the mean is often better
    than each of them if they were trained on from one and the same (Wortsman et al. 2022, arXiv 2203.05482: the uniform
    soup).

    Raises ValueError if they are not of one architecture and one vocabulary.
    """
    first = parts[0]
    states = [part.model.state_dict() for part in parts]
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    vocabularies = [part.processor.tokenizer.get_vocab() for part in parts]
    if any(other != shapes[0] for other in shapes):
        raise ValueError(
            "they are not of one architecture, and weights have a mean only where they correspond"
        )
    if any(other != vocabularies[0] for other in vocabularies):
        raise ValueError("they do not have one vocabulary, so their words do not correspond")
    # All of them first: tied weights have two names, and would be averaged twice.
    means = {
        name: torch.stack([state[name].float() for state in states]).mean(0)
        for name, value in states[0].items()
        if value.is_floating_point()
    }
    with torch.no_grad():
        for name, mean in means.items():
            states[0][name].copy_(mean)
    return first

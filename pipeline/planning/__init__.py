"""What a run will cost, before it is begun: a probe, an estimate from what it measured, machines and their prices."""

"""One module per job, thin: read the configuration, call a room, print. `facegpt JOB` is `python -m jobs.JOB`."""

"""What is done to an OUTPUT between runs: status, verify, repair, retry, forget."""

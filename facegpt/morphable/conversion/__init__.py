"""From the parameters of one face model to those of another: surfaces, registration, the fitted mapping."""

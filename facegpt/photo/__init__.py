"""One photo: bounded decoding, face detectors, framing and crops."""

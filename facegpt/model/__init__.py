"""FaceGPT: a vision-language model with a <FACE> token, its processor, generation and the annotator around it."""

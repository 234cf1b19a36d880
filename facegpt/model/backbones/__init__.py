"""Any transformers image-text-to-text model as the backbone of a FaceGPT."""

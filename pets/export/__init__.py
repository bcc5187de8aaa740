"""A model as one ONNX file, from decoded pixels to probabilities, with its model card."""

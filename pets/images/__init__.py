"""From bytes to tensors: decoding, preprocessing, batches."""

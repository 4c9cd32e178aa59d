"""What a model is made of: inputs, scores, layers, heads, and where in the picture each element is."""

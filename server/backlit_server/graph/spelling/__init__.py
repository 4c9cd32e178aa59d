"""One spelling a model: what canonical() does, and other ways of writing the same model."""

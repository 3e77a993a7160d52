"""One request -> one result, with a given model."""

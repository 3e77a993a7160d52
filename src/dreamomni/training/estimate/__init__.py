"""What a recipe will cost, worked out on the meta device before anything is spent."""

"""What a recipe may say about each family of tasks; one small model per family, defaults included."""

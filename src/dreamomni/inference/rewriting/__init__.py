"""What a user says, put into the words that a model was trained on (DreamOmni2 section 3.2)."""
